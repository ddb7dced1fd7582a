"""The codec of a pair: one implementation for all of them.

```text
asset ─► to_frame ─► E ─► F_E ─► z ─► refine ─► quantise ─► symbols ─┬─► .sq3: fingerprint, pose, rate, symbols
                                                                     ▼
                                       pose ◄─────── G ◄─ F_D ◄─ dequantise      (decoding: the same, then the pose)
```

Only symbols, integers, decide how bits are read. What networks make of them may differ in the last bits between
machines. Pairs whose networks know assets of one size only (`PairSpec.layout`) store a layout besides, and pairs whose
code knows no colours (`PairSpec.colours`) may store those of the original.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from squeeze3d.assets.source import Asset, Loaded
from squeeze3d.bitstream.container import SOURCES, Container, Tag
from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.bitstream.limits import Limits, format_bytes
from squeeze3d.bitstream.pose import Pose
from squeeze3d.codecs.pairs.clouds import cloud_losses
from squeeze3d.codecs.pairs.colours import (
    COLOURS,
    MOST_BYTES,
    USUAL_BYTES,
    coloured,
    encode_colours,
    has_colours,
    read_colours,
    shown_surface,
)
from squeeze3d.codecs.pairs.frame import candidate_poses, place, to_frame
from squeeze3d.codecs.pairs.spec import PairSpec
from squeeze3d.codecs.spec import CodecSpec, Job, Kind, option
from squeeze3d.errors import FormatError, TargetSizeError, UsageError, WrongWeightsError
from squeeze3d.weights.cache import find, locate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from squeeze3d.codecs.pairs.networks import Networks

LAYOUT = 16
"""Tag of the chunk with the layout, for pairs that have one. Part of the format."""
RATE_BITS = 4
"""Bits of the rate in front of the symbols. Part of the format."""
UNLIKELY = 6.0
"""Standard deviations above the training codes' mean length from which a code counts as an outlier."""
REFINE_FROM = 4
"""Effort from which codes are refined; each step above doubles the gradient steps."""
SLACK = 1.25
"""How much larger than a target a file may be where the target is only a place to look at."""
CODE_SHARE = 0.5
"""Of a target size that everything but colours may take, where there is a coarser rate. From 2 or 3 bits a number on,
what a finer rate adds is small next to what rounding loses in the colours."""
USUAL_SIZE = 1200
"""Bytes at which a search for a quality begins: a code and colours."""
FRAMING = 2
"""Bytes by which the sizes of a chunk and of a file grow when the chunk is filled."""


@dataclass(frozen=True)
class PairOptions:
    """Options of every pair codec."""

    rate: int = option(-1, "precision of the code, 0 (coarsest) and up; -1 chooses by size or quality", low=-1, high=15)
    refine: int = option(-1, "gradient steps on the code when encoding; -1 chooses by effort", low=-1, high=10_000)


@dataclass(frozen=True)
class ColouredPairOptions(PairOptions):
    """Options of pairs that may carry colours."""

    colour_bytes: int = option(
        -1,
        f"most bytes for colours; 0: those of the generator, -1: what a target size leaves, or {USUAL_BYTES}",
        low=-1,
        high=MOST_BYTES,
    )


def codec_of(pair: PairSpec) -> CodecSpec:
    """Codec that runs a pair."""
    return CodecSpec(
        id=pair.id,
        wire=pair.wire,
        summary=pair.summary,
        kinds=frozenset({pair.kind}),
        fidelity=pair.fidelity,
        from_effort=pair.from_effort,
        options=ColouredPairOptions if pair.colours else PairOptions,
        encode=partial(encode, pair),
        decode=partial(decode, pair),
        missing=partial(_missing, pair),
        usual=USUAL_SIZE if pair.colours else CodecSpec.usual,
        weights=pair.weights,
        chunks={LAYOUT: "layout"} if pair.layout is not None else {COLOURS: "colours"} if pair.colours else {},
        license=pair.license,
        paper=pair.paper,
    )


def _missing(pair: PairSpec) -> str | None:
    absent = [name for name in pair.weights if find(name) is None]
    return f"weights are not installed: {', '.join(absent)}" if absent else None


@dataclass(frozen=True, eq=False)
class _Point:
    """One rate of one code: everything but the source format and the colours."""

    rate: int
    symbols: NDArray[np.int32]
    generated: Asset
    """In the pair's frame."""
    pose: Pose
    payload: bytes
    layout: bytes | None
    surprise: float
    """Of the code as the encoder made it, see `CodeModel.surprise`: refinement may buy quality with longer codes."""
    lost: tuple[tuple[str, str], ...]
    """Features of the original that what was generated lacks, see `cloud_losses`."""


def encode(pair: PairSpec, loaded: Loaded, options: PairOptions, job: Job) -> Container:
    """Encode an asset at the options' rate, or the finest within the job's target size.

    Raises TargetSizeError (not even the coarsest rate fits), InputError (the encoder sees nothing),
    MissingWeightsError, UsageError (no such rate).
    """
    from squeeze3d.codecs.pairs.networks import networks

    for name in pair.weights:
        locate(name)
    job.progress("load networks", 0.05)
    nets = networks(pair)
    if options.rate >= nets.model.rates:
        raise UsageError(f"{pair.id} has rates 0 to {nets.model.rates - 1}, not {options.rate}")
    if "code" not in job.memo:
        job.progress("encode", 0.2)
        framed, _ = to_frame(loaded.asset, pair.half_extent)
        if pair.layout is not None:
            framed = pair.layout.enter(framed)
        job.memo["framed"], job.memo["code"] = framed, nets.code_of(framed)
    found = _Encoder(pair, nets, loaded, options, job).best()
    if found is None:
        assert job.target_size is not None
        raise TargetSizeError(
            f"{pair.id} cannot describe this asset in {format_bytes(job.target_size)}", hint="raise `--target-size`"
        )
    return found


class _Encoder:
    """Rates and colours for one request. Points are remembered from one request to the next."""

    def __init__(self, pair: PairSpec, nets: Networks, loaded: Loaded, options: PairOptions, job: Job) -> None:
        self._pair, self._nets, self._loaded, self._job = pair, nets, loaded, job
        self._steps = refine_steps(pair, options, job)
        # Without a size to meet, the finest rate: its last symbols cost little beside the fixed part of the file.
        self._rates = [options.rate] if options.rate >= 0 else list(range(nets.model.rates))[::-1]
        self._most_colours = 0
        if isinstance(options, ColouredPairOptions) and has_colours(loaded.asset):
            default = USUAL_BYTES if job.target_size is None else MOST_BYTES
            self._most_colours = default if options.colour_bytes < 0 else options.colour_bytes

    def best(self) -> Container | None:
        """The file; None where nothing fits."""
        size = self._job.target_size
        if size is None:
            point = self._at(self._rates[0])
            return self._finish(point, self._colours(point, self._most_colours))
        limit = size if self._job.exact else SLACK * size
        kept = min(self._most_colours, (1 - CODE_SHARE) * size)
        found = self._finest(limit - kept, SLACK * (size - kept)) or self._finest(limit, math.inf, self._rates[-1:])
        if found is None:
            return None
        colours = self._colours(found, self._room(found, size))
        if self._most_colours:
            # What colours leave may be worth a finer rate.
            left = size - FRAMING - self._size(found, colours) + self._size(found)
            finer = self._finest(left, left)
            if finer is not None and finer.rate > found.rate:
                again = self._colours(finer, self._room(finer, size))
                if again is not None or colours is None:
                    found, colours = finer, again
        return self._finish(found, colours)

    def _finest(self, limit: float, promising: float, rates: Sequence[int] | None = None) -> _Point | None:
        """Finest rate whose file takes at most `limit` bytes without colours.

        Rates whose symbols alone are estimated at more than `promising` bytes are passed over; refinement moves them.
        """
        for rate in self._rates if rates is None else rates:
            symbols = self._nets.model.quantise(self._job.memo["code"], rate)
            if self._nets.model.bits(symbols, rate) / 8 > promising:
                continue
            point = self._at(rate)
            if self._size(point) <= limit:
                return point
        return None

    def _at(self, rate: int) -> _Point:
        points: dict[tuple[int, int], _Point] = self._job.memo.setdefault("points", {})
        key = rate, self._steps
        if key not in points:
            self._job.progress("refine" if self._steps else "quantise", 0.3)
            points[key] = _point(self._pair, self._nets, self._loaded, self._job, rate, self._steps)
        return points[key]

    def _room(self, point: _Point, size: int) -> int:
        """Bytes that a target size leaves for colours."""
        return max(0, min(self._most_colours, size - self._size(point, b"") - FRAMING))

    def _colours(self, point: _Point, budget: int) -> bytes | None:
        if budget == 0:
            return None
        memo = self._job.memo
        known: dict[tuple[int, int, int], bytes | None] = memo.setdefault("colours", {})
        key = point.rate, self._steps, budget
        if key not in known:
            self._job.progress("colours", 0.85)
            if "surface" not in memo:
                memo["surface"] = shown_surface(self._loaded.asset)
            known[key] = encode_colours(self._pair, point.generated, point.pose, memo["surface"], budget)
        return known[key]

    def _size(self, point: _Point, colours: bytes | None = None) -> int:
        return len(self._container(point, colours).to_bytes())

    def _container(self, point: _Point, colours: bytes | None) -> Container:
        chunks = {Tag.SYMBOLS: point.payload}
        if point.layout is not None:
            chunks[LAYOUT] = point.layout
        if colours is not None:
            chunks[COLOURS] = colours
        source = SOURCES.index(self._loaded.format)
        return Container(self._pair.wire, source, point.pose, self._nets.fingerprint, chunks)

    def _finish(self, point: _Point, colours: bytes | None) -> Container:
        """The file, and remarks about it."""
        job, nets = self._job, self._nets
        code_bits = round(nets.model.bits(point.symbols, point.rate))
        job.notes.update(rate=point.rate, code_bits=code_bits, refine_steps=self._steps)
        if self._pair.colours:
            job.notes.update(colour_bytes=0 if colours is None else len(colours))
        if point.surprise > UNLIKELY:
            job.outlier = f"its code is {point.surprise:.1f} standard deviations longer than the training codes"
        detail = "the asset is recreated by a generator: topology, texture layout, materials and fine detail are new"
        if self._pair.kind is Kind.MESH and self._pair.colours and colours is None:
            detail += ", colours are those of the generator"
        job.losses.add("regenerated", detail, stage="encode")
        for feature, detail in point.lost:
            if colours is None or feature != "colours":
                job.losses.add(feature, detail, stage="encode")
        job.progress("done", 1.0)
        return self._container(point, colours)


def refine_steps(pair: PairSpec, options: PairOptions, job: Job) -> int:
    """Gradient steps for a request."""
    if options.refine >= 0:
        return options.refine if pair.refine_steps else 0
    return 0 if job.effort < REFINE_FROM else round(pair.refine_steps * 2.0 ** (job.effort - 5))


def _point(pair: PairSpec, nets: Networks, loaded: Loaded, job: Job, rate: int, steps: int) -> _Point:
    code = job.memo["code"]
    symbols = nets.model.quantise(code, rate)
    surprise = nets.model.surprise(symbols, rate)
    if steps:
        from squeeze3d.codecs.pairs.refine import refine

        symbols = refine(nets, job.memo["framed"], code, rate, steps, progress=job.progress)
    job.progress("generate", 0.8)
    generated = nets.generate(nets.model.dequantise(symbols, rate))
    layout = None
    if pair.layout is not None:
        layout = pair.layout.describe(loaded.asset, generated)
        # The layout tells size and place; what is left is the original's own pose.
        poses: tuple[Pose, ...] = (to_frame(loaded.asset, pair.half_extent)[1],)
    else:
        poses = candidate_poses(generated, pair.half_extent, loaded.asset)
    judge = job.judge
    pose = poses[0]
    if judge is not None and len(poses) > 1:
        pose = max(poses, key=lambda pose: judge(place(generated, pair.half_extent, pose)))
    encoder = SymbolEncoder()
    encoder.encode_raw([rate], RATE_BITS)
    nets.model.encode(encoder, symbols, rate)
    lost = cloud_losses(loaded.asset, generated)
    return _Point(rate, symbols, generated, pose, encoder.finish(), layout, surprise, lost)


def decode(pair: PairSpec, container: Container, limits: Limits) -> Asset:
    """Recreate an asset in the original frame and scale.

    Raises MissingWeightsError, WrongWeightsError (the file was made with other weights), FormatError, LimitError.
    """
    from squeeze3d.codecs.pairs.networks import code_model, fitted, networks

    sized = fitted(pair)
    limits.check(4 * (sized.code_size + math.prod(sized.generator_shape)), f"code and latent of {pair.id}")
    rate, symbols = read_symbols(pair, container)
    colours = read_colours(container, limits)
    assert container.pose is not None
    generated = networks(pair).generate(code_model(pair).dequantise(symbols, rate))
    shown = coloured(pair, laid_out(pair, generated, container, limits), colours)
    return place(shown, pair.half_extent, container.pose)


def laid_out(pair: PairSpec, generated: Asset, container: Container, limits: Limits) -> Asset:
    """Generated asset in the pair's frame, with the size that a file asks for.

    Raises FormatError, LimitError.
    """
    return generated if pair.layout is None else pair.layout.leave(generated, container.chunks[LAYOUT], limits)


def read_symbols(pair: PairSpec, container: Container) -> tuple[int, NDArray[np.int32]]:
    """Rate and symbols of a file. Needs the weight files, for their tables and hashes, but runs no network.

    Raises like `decode`.
    """
    from squeeze3d.codecs.pairs.networks import code_model, fingerprint

    container.expect({Tag.SYMBOLS} if pair.layout is None else {Tag.SYMBOLS, LAYOUT}, {COLOURS} if pair.colours else ())
    if container.pose is None or container.fingerprint is None:
        raise FormatError(f"a {pair.id} file needs a pose and a fingerprint")
    present = fingerprint(pair)
    if container.fingerprint != present:
        raise WrongWeightsError(
            f"the file needs weights of {pair.id} with the fingerprint {container.fingerprint.hex()}, "
            f"but those installed have {present.hex()}",
            hint=f"get the weights it was made with: {', '.join(pair.decoder_weights)} (`sq3d models import`)",
        )
    model = code_model(pair)
    decoder = SymbolDecoder(container.chunks[Tag.SYMBOLS])
    rate = int(decoder.decode_raw(1, RATE_BITS)[0])
    if rate >= model.rates:
        raise FormatError(f"rate {rate} is not one of the {model.rates} of {pair.id}")
    symbols = model.decode(decoder, rate)
    decoder.finish()
    return rate, symbols
