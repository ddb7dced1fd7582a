"""Choose the codec and its settings for an asset and a goal.

```text
goal ─► codec encodes at a size ─► decode the bytes ─► render and measure ─► next size ─┐
             ▲                                                                          │
             └──────────────────────────────────────────────────────────────────────────┘
```

- A *quality* goal looks for the smallest file that reaches it: file size is varied along each codec's curve of quality
  over size, which is close to a line in the logarithm of the size, so a few measurements find the place. A codec that
  aims finds it alone, and its file is measured.
- A *target size* asks for the best file within it.
- Both together: the smallest file that reaches the quality if one fits, else the best that fits.
- A codec named without a goal uses its own options.
- The codec that suits the number of faces goes first. The next one only gets sizes below what the first one reached,
  and no turn where there is nothing left to save.

Lossless wins wherever its file is not larger: nobody wants to lose something for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from squeeze3d.assets.digest import digest
from squeeze3d.assets.formats import read
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.source import Asset, Loaded, Source
from squeeze3d.bitstream.container import Container, Tag
from squeeze3d.bitstream.limits import Limits, format_bytes
from squeeze3d.bitstream.parameters import pack_parameters
from squeeze3d.codecs.memory import check_encoding
from squeeze3d.codecs.registry import codec_by_id, codecs
from squeeze3d.codecs.size_search import SizeSearch, Trial
from squeeze3d.codecs.spec import CodecSpec, Fidelity, Job, Kind, RawFiles
from squeeze3d.errors import InputError, LimitError, TargetSizeError, UnsupportedError, UsageError

if TYPE_CHECKING:
    from squeeze3d.quality.goal import Goal
    from squeeze3d.quality.measure import Measurement, Reference

Progress = Callable[[str, float], None]

EFFORTS = (1, 9)
DEFAULT_EFFORT = 5
LEAST_INPUT = 3000
"""Bytes of an asset below which a quality is reached by keeping its files: there is hardly anything to save. A smaller
target size still calls for a codec."""
PERFECT = 59.0
"""Decibels (`Measurement.overall`, which ends at 60) from which a codec with a target size cannot be beaten."""
FARTHER = 1.2
"""Size to go on with, relative to a file that was aimed at a quality and misses it."""
FIRST_SHARE = 0.8
"""Part of the size to beat at which a search begins where that is less than usual."""
OUTLIER_MARGIN = 1.0
"""Decibels by which a result must exceed the goal if the codec was trained on assets unlike this one."""
MEASURED = "q"
"""Key of the measurements in the metadata chunk. Part of the format."""
METADATA_BYTES = {Kind.MESH: 24, Kind.POINTS: 30, Kind.FIELD: 24, Kind.SPLATS: 24}
"""What measurements in the file may take; kept free when a target size is filled."""


@dataclass(frozen=True)
class Request:
    """What the user wants."""

    target_size: int | None = None
    goal: Goal | None = None
    codec: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    effort: int = DEFAULT_EFFORT
    metadata: bool = True
    """Whether measurements are stored in the file."""
    max_memory: int | None = None
    """Bytes that encoding may take, by estimate; None for what the machine has."""
    strict: bool = False
    """Whether codecs that lose something are passed over, unless one is named."""

    @property
    def evaluations(self) -> int:
        """Files a quality search may try, at most."""
        return 2 + self.effort

    @property
    def tolerance(self) -> float:
        """Decibels above the goal that are good enough to stop at."""
        return 1.6 / self.effort


@dataclass(frozen=True)
class Choice:
    """The winner and what else was tried."""

    spec: CodecSpec
    data: bytes
    job: Job
    tried: tuple[Mapping[str, Any], ...]
    measurement: Measurement | None = None
    """What the decoded file looks like; None where nothing was rendered, as for lossless files."""
    reached: bool = True
    """Whether the quality goal is met."""


@dataclass(frozen=True)
class _Result:
    """One encoded file."""

    spec: CodecSpec
    container: Container
    size: int
    job: Job
    measurement: Measurement | None
    margin: float
    """Decibels above the goal."""


def select(loaded: Loaded, request: Request, progress: Progress) -> Choice:
    """Encode an asset as the request asks.

    Raises UsageError (unknown codec, options without a codec), UnsupportedError (the codec does not take this kind of
    asset), TargetSizeError (nothing fits), LimitError (not enough memory for any codec).
    """
    if request.target_size is not None and request.target_size <= 0:
        raise UsageError(f"target size must be positive, not {request.target_size}")
    check_effort(request.effort)
    return _Selection(loaded, request, progress).run()


def check_effort(effort: int) -> None:
    """Raise UsageError for an effort out of range."""
    if not EFFORTS[0] <= effort <= EFFORTS[1]:
        raise UsageError(f"effort must lie between {EFFORTS[0]} and {EFFORTS[1]}, not {effort}")


class _Selection:
    """State of one selection."""

    def __init__(self, loaded: Loaded, request: Request, progress: Progress) -> None:
        self.loaded = loaded
        self.request = request
        self.progress = progress
        self.kind = Kind.of(loaded.asset)
        self.tried: list[Mapping[str, Any]] = []
        self.failures: list[TargetSizeError] = []
        self.memos: dict[str, dict[str, Any]] = {}
        self.measurements: dict[bytes, Measurement] = {}
        """By content of what was decoded: a codec's favourite was judged before, and codecs with few operating points
        make the same file again and again."""
        self._reference: Reference | None = None

    def run(self) -> Choice:
        request = self.request
        best: _Result | None = None
        for spec in self._that_fit_memory():
            if best is not None and self._leaves_nothing(best, spec):
                continue
            if spec.fidelity is Fidelity.LOSSLESS:
                limit = request.target_size
                if best is not None and best.margin >= 0 and (request.goal is not None or limit is None):
                    limit = best.size
                result = self._try(spec, limit, exact=True)
            elif request.goal is None:
                result = self._try(spec, request.target_size, exact=True)
            else:
                beaten = best.size if best is not None and best.margin >= 0 else None
                result = self._smallest(spec, request.goal, beaten)
            if result is None:
                continue
            self.tried.append(_described(result))
            if self._distrusts(result) or self._loses(result):
                continue
            if best is None or spec.fidelity is Fidelity.LOSSLESS or _better(result, best, request.goal):
                best = result
        if best is None:
            assert request.target_size is not None
            raise TargetSizeError(
                f"no codec fits the asset into {format_bytes(request.target_size)}: {self.failures[0]}",
                hint="raise `--target-size`",
            )
        return Choice(
            best.spec,
            self._with_metadata(best),
            best.job,
            tuple(self.tried),
            best.measurement,
            request.goal is None or best.margin >= 0,
        )

    def _turn(self, spec: CodecSpec) -> tuple[bool, bool]:
        """Order of codecs: those that say a simple mesh in next to nothing first, lossless ones last."""
        asset = self.loaded.asset
        is_simple = isinstance(asset, Mesh) and asset.face_count <= spec.simple
        return spec.fidelity is Fidelity.LOSSLESS, not is_simple

    def _leaves_nothing(self, best: _Result, spec: CodecSpec) -> bool:
        """Whether a codec has nothing to win over a result: not enough bytes, or no error to take away."""
        if spec.fidelity is Fidelity.LOSSLESS:
            return False
        if self.request.goal is not None:
            return best.margin >= 0 and best.size <= spec.worth
        return spec.worth > 0 and best.measurement is not None and best.measurement.overall >= PERFECT

    def _that_fit_memory(self) -> list[CodecSpec]:
        """Codecs to try, in their order. Raises LimitError if there is memory for none of them."""
        searches = self.request.goal is not None or self.request.target_size is not None
        fitting, refusal = [], None
        for spec in sorted(self._eligible(), key=self._turn):
            try:
                check_encoding(spec, self.loaded, self.request.max_memory, searches=searches)
            except LimitError as error:
                refusal = error
                self.tried.append({"codec": spec.id, "reason": error.message})
            else:
                fitting.append(spec)
        if refusal is not None and not fitting:
            raise refusal
        return fitting

    def _eligible(self) -> tuple[CodecSpec, ...]:
        name = self.request.codec
        if name is None:
            if self.request.options:
                names = ", ".join(spec.id for spec in codecs(self.kind))
                raise UsageError("codec options need a codec", hint=f"add `--codec`, one of {names}")
            effort = self.request.effort
            return tuple(
                spec
                for spec in codecs(self.kind)
                if effort >= spec.from_effort and not self._is_out_of_range(spec) and self._is_present(spec)
            )
        spec = codec_by_id(name)
        if self.kind not in spec.kinds:
            takes = ", ".join(sorted(spec.kinds))
            fitting = ", ".join(s.id for s in codecs(self.kind))
            raise UnsupportedError(
                f"codec {name} takes {takes}, not {self.kind}", hint=f"codecs for {self.kind}: {fitting}"
            )
        return (spec,)

    def _is_out_of_range(self, spec: CodecSpec) -> bool:
        """Whether a target size is too small for a codec, or far beyond what it makes use of."""
        size = self.request.target_size
        if size is None:
            return False
        return size < spec.least or (self.request.goal is None and spec.largest is not None and size > 2 * spec.largest)

    def _distrusts(self, result: _Result) -> bool:
        """Whether an asset is too unlike a codec's training for what was measured to speak for it.

        Views see only so much; what lies between them is safe to assume for assets the networks know.
        """
        if result.job.outlier is None or self.request.codec is not None:
            return False
        return self.request.goal is None or result.margin < OUTLIER_MARGIN

    def _loses(self, result: _Result) -> bool:
        """Whether a result is no good because nothing may be lost."""
        if not self.request.strict or self.request.codec is not None:
            return False
        losses = losses_of(self.loaded, result.spec, result.job)
        if len(losses):
            self.tried[-1] = {**self.tried[-1], "reason": f"would lose: {'; '.join(x.detail for x in losses)}"}
        return len(losses) > 0

    def _is_present(self, spec: CodecSpec) -> bool:
        """Whether the codec can run here; if not, the report says why."""
        reason = spec.missing()
        if reason is not None:
            self.tried.append({"codec": spec.id, "reason": reason})
        return reason is None

    # One attempt

    def _try(self, spec: CodecSpec, size: int | None, *, exact: bool, aim: Goal | None = None) -> _Result | None:
        """Encode once, decode, measure; None if the codec cannot do it in that size."""
        reserve = METADATA_BYTES[self.kind] if self._stores_metadata(spec) else 0
        limit = None if size is None else max(1, size - reserve) if exact else size
        judged = self._measures(spec)
        job = Job(
            limit,
            exact,
            goal=aim,
            judge=self._judge if judged and self.request.effort > 1 else None,
            effort=self.request.effort,
            memo=self.memos.setdefault(spec.id, {}),
            progress=self.progress,
        )
        options = spec.make_options(self.request.options if spec.id == self.request.codec else {})
        try:
            container = spec.encode(self.loaded, options, job)
        except TargetSizeError as error:
            self.failures.append(error)
            if exact:
                self.tried.append({"codec": spec.id, "reason": error.message})
            return None
        except InputError as error:
            if self.request.codec is not None or spec.fidelity is not Fidelity.GENERATIVE:
                raise
            self.tried.append({"codec": spec.id, "reason": error.message})
            return None
        data = container.to_bytes()
        bytes_now = len(data)
        assert not exact or limit is None or bytes_now <= limit, f"{spec.id} exceeded its target size"
        if not judged:
            return _Result(spec, container, bytes_now, job, None, math.inf)
        self.progress("measure", 0.95)
        # What counts is what a decoder makes of the bytes, not what the encoder meant.
        decoded = _opened(spec.decode(Container.from_bytes(data), Limits()))
        measurement = self._measured(decoded)
        margin = self.request.goal.margin(measurement) if self.request.goal is not None else math.inf
        return _Result(spec, container, bytes_now, job, measurement, margin)

    @property
    def reference(self) -> Reference:
        """The original's views, rendered on first use."""
        if self._reference is None:
            from squeeze3d.quality.measure import Reference

            self._reference = Reference(self.loaded.asset)
        return self._reference

    def _measures(self, spec: CodecSpec) -> bool:
        """Lossless files need no proof, and a codec with fixed options no measurement. In a hurry, neither does a codec
        that was named, for a size: nothing hangs on the figures, and they take a third of the time.
        """
        request = self.request
        if spec.fidelity is Fidelity.LOSSLESS:
            return False
        if request.codec is not None and request.effort == EFFORTS[0]:
            return request.goal is not None
        return request.goal is not None or request.target_size is not None

    def _stores_metadata(self, spec: CodecSpec) -> bool:
        return self.request.metadata and self._measures(spec)

    def _measured(self, decoded: Asset) -> Measurement:
        content = digest(decoded)
        if content not in self.measurements:
            self.measurements[content] = self.reference.measure(decoded)
        return self.measurements[content]

    def _judge(self, decoded: Asset) -> float:
        measured = self._measured(decoded)
        if self.request.goal is not None:
            return self.request.goal.margin(measured)
        return measured.overall

    def _smallest(self, spec: CodecSpec, goal: Goal, beaten: int | None) -> _Result | None:
        """Smallest file that reaches the goal; the best one there is if none does.

        `beaten` is the size of a file by another codec that reaches it: larger ones are of no interest.
        """
        cap = self.request.target_size
        # A lossy file larger than the files themselves serves nobody, unless the user wants this codec.
        whole = len(self.loaded.source.data) + sum(map(len, self.loaded.source.used.values()))
        if self.request.codec is None and whole < min(LEAST_INPUT, cap or LEAST_INPUT):
            return None
        ceiling = whole if self.request.codec is None else max(1 << 20, 2 * whole)
        if spec.largest is not None:
            ceiling = min(ceiling, spec.largest)
        first: float = spec.usual
        if beaten is not None:
            ceiling = min(ceiling, beaten - 1)
            first = min(first, FIRST_SHARE * ceiling)
        results: list[_Result] = []
        if spec.aims:
            aimed = self._try(spec, None, exact=False, aim=goal)
            if aimed is not None and (cap is None or aimed.size + METADATA_BYTES[self.kind] <= cap):
                if aimed.margin >= 0:
                    return aimed
                results.append(aimed)
                first = FARTHER * aimed.size
            else:
                return self._try(spec, cap, exact=True)
        search = SizeSearch(
            first,
            ceiling=ceiling,
            limit=cap,
            tolerance=self.request.tolerance,
            attempts=self.request.evaluations,
        )
        while (size := search.size) is not None:
            exact = search.exact
            result = self._try(spec, size, exact=exact)
            if result is None:
                search.too_small()
            elif cap is not None and not exact and result.size + METADATA_BYTES[self.kind] > cap:
                search.too_large()
            else:
                results.append(result)
                search.record(Trial(result.size, result.margin))
        hits = [result for result in results if result.margin >= 0]
        if hits:
            return min(hits, key=lambda result: result.size)
        if cap is not None and cap <= ceiling and (search.miss is None or search.miss.size < 0.9 * cap):
            last = self._try(spec, cap, exact=True)
            results += [last] if last is not None else []
        return max(results, key=lambda result: result.margin, default=None)

    def _with_metadata(self, best: _Result) -> bytes:
        """The file, with the measurements if they were asked for and fit."""
        if best.measurement is None or not self._stores_metadata(best.spec):
            return best.container.to_bytes()
        chunks = {**best.container.chunks, Tag.METADATA: pack_parameters({MEASURED: best.measurement.to_metadata()})}
        data = replace(best.container, chunks=chunks).to_bytes()
        limit = self.request.target_size
        return data if limit is None or len(data) <= limit else best.container.to_bytes()


def losses_of(loaded: Loaded, spec: CodecSpec, job: Job) -> LossReport:
    """What is lost of an asset: by its reader, as far as the codec works on what that made, and by the codec."""
    losses = LossReport(loaded.losses)
    if spec.keeps_files(loaded.format):
        # The reader could not hold everything, but the files are kept; only faults of the input remain.
        losses = LossReport(x for x in losses if x.warning)
    losses.extend(job.losses)
    return losses


def _opened(decoded: Asset | RawFiles) -> Asset:
    """The asset in what a codec decoded to."""
    if not isinstance(decoded, RawFiles):
        return decoded
    (name, content), *side = decoded.files.items()
    return read(Source(content, name, extra=dict(side))).asset


def _better(one: _Result, other: _Result, goal: Goal | None) -> bool:
    """Whether one result serves the request better than another."""
    if goal is not None and (one.margin >= 0) != (other.margin >= 0):
        return one.margin >= 0
    if goal is not None and one.margin >= 0:
        return one.size < other.size
    if one.measurement is not None and other.measurement is not None:
        return one.measurement.overall > other.measurement.overall
    return one.size < other.size


def _described(result: _Result) -> dict[str, Any]:
    entry: dict[str, Any] = {"codec": result.spec.id, "bytes": result.size}
    if result.job.outlier is not None:
        entry["reason"] = f"unlike the training data: {result.job.outlier}"
    if result.measurement is not None:
        entry["measured"] = result.measurement.to_json()
    return entry
