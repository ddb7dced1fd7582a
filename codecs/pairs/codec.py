"""The codec of a pair: one implementation for all of them.

```text
asset ─► to_frame ─► E ─► F_E ─► z ─► refine ─► quantise ─► symbols ─┬─► .sq3: fingerprint, pose, rate, symbols
                                                                     ▼
                                       pose ◄─────── G ◄─ F_D ◄─ dequantise      (decoding: the same, then the pose)
```

Only symbols, integers, decide how bits are read. What networks make of them may differ in the last bits between
machines. Pairs whose networks know assets of one size only (`PairSpec.layout`) store a layout besides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from squeeze3d.assets.source import Asset, Loaded
from squeeze3d.bitstream.container import SOURCES, Container, Tag
from squeeze3d.bitstream.entropy import SymbolDecoder, SymbolEncoder
from squeeze3d.bitstream.limits import Limits, format_bytes
from squeeze3d.bitstream.pose import Pose
from squeeze3d.codecs.pairs.clouds import cloud_losses
from squeeze3d.codecs.pairs.frame import candidate_poses, place, to_frame
from squeeze3d.codecs.pairs.spec import PairSpec
from squeeze3d.codecs.spec import CodecSpec, Job, option
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


@dataclass(frozen=True)
class PairOptions:
    """Options of every pair codec."""

    rate: int = option(-1, "precision of the code, 0 (coarsest) and up; -1 chooses by size or quality", low=-1, high=15)
    refine: int = option(-1, "gradient steps on the code when encoding; -1 chooses by effort", low=-1, high=10_000)


def codec_of(pair: PairSpec) -> CodecSpec:
    """Codec that runs a pair."""
    return CodecSpec(
        id=pair.id,
        wire=pair.wire,
        summary=pair.summary,
        kinds=frozenset({pair.kind}),
        fidelity=pair.fidelity,
        from_effort=pair.from_effort,
        options=PairOptions,
        encode=partial(encode, pair),
        decode=partial(decode, pair),
        missing=partial(_missing, pair),
        weights=pair.weights,
        license=pair.license,
        paper=pair.paper,
    )


def _missing(pair: PairSpec) -> str | None:
    absent = [name for name in pair.weights if find(name) is None]
    return f"weights are not installed: {', '.join(absent)}" if absent else None


@dataclass(frozen=True, eq=False)
class _Point:
    """One rate of one code: everything but the source format."""

    rate: int
    symbols: NDArray[np.int32]
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
    model = nets.model
    if options.rate >= model.rates:
        raise UsageError(f"{pair.id} has rates 0 to {model.rates - 1}, not {options.rate}")
    if "code" not in job.memo:
        job.progress("encode", 0.2)
        framed, _ = to_frame(loaded.asset, pair.half_extent)
        if pair.layout is not None:
            framed = pair.layout.enter(framed)
        job.memo["framed"], job.memo["code"] = framed, nets.code_of(framed)
    source = SOURCES.index(loaded.format)

    def container(point: _Point) -> Container:
        chunks = {Tag.SYMBOLS: point.payload}
        if point.layout is not None:
            chunks[LAYOUT] = point.layout
        return Container(pair.wire, source, point.pose, nets.fingerprint, chunks)

    points: dict[tuple[int, int], _Point] = job.memo.setdefault("points", {})
    steps = refine_steps(pair, options, job)
    target = job.target_size
    # Without a size to meet, the finest rate: its last symbols cost little beside the fixed part of the file.
    wanted = [options.rate] if options.rate >= 0 else list(range(model.rates))[::-1]
    if target is None:
        wanted = wanted[:1]
    for rate in wanted:
        if (rate, steps) not in points:
            if target is not None and options.rate < 0 and _least(nets, job.memo["code"], rate) > target * SLACK:
                continue
            job.progress("refine" if steps else "quantise", 0.3)
            points[rate, steps] = _point(pair, nets, loaded, job, rate, steps)
        result = container(points[rate, steps])
        size = len(result.to_bytes())
        if target is None or size <= (target if job.exact else target * SLACK):
            _report(nets, points[rate, steps], steps, job)
            return result
    assert target is not None
    raise TargetSizeError(
        f"{pair.id} cannot describe this asset in {format_bytes(target)}", hint="raise `--target-size`"
    )


SLACK = 1.25
"""How much larger than a target a file may be where the target is only a place to look at."""


def _least(nets: Networks, code: NDArray[np.float32], rate: int) -> float:
    """Bytes of the symbols alone, without running the generator: a lower estimate of the file."""
    return nets.model.bits(nets.model.quantise(code, rate), rate) / 8


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
    return _Point(rate, symbols, pose, encoder.finish(), layout, surprise, cloud_losses(loaded.asset, generated))


def _report(nets: Networks, point: _Point, steps: int, job: Job) -> None:
    job.notes.update(rate=point.rate, code_bits=round(nets.model.bits(point.symbols, point.rate)), refine_steps=steps)
    if point.surprise > UNLIKELY:
        job.outlier = f"its code is {point.surprise:.1f} standard deviations longer than the training codes"
    detail = "the asset is recreated by a generator: topology, texture layout, materials and fine detail are new"
    job.losses.add("regenerated", detail, stage="encode")
    for feature, detail in point.lost:
        job.losses.add(feature, detail, stage="encode")
    job.progress("done", 1.0)


def decode(pair: PairSpec, container: Container, limits: Limits) -> Asset:
    """Recreate an asset in the original frame and scale.

    Raises MissingWeightsError, WrongWeightsError (the file was made with other weights), FormatError, LimitError.
    """
    from squeeze3d.codecs.pairs.networks import code_model, fitted, networks

    sized = fitted(pair)
    limits.check(4 * (sized.code_size + math.prod(sized.generator_shape)), f"code and latent of {pair.id}")
    rate, symbols = read_symbols(pair, container)
    assert container.pose is not None
    generated = networks(pair).generate(code_model(pair).dequantise(symbols, rate))
    return place(laid_out(pair, generated, container, limits), pair.half_extent, container.pose)


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

    container.expect({Tag.SYMBOLS} if pair.layout is None else {Tag.SYMBOLS, LAYOUT})
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
