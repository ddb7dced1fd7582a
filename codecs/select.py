"""Choose the codec for an asset and a goal.

Without a goal, the first codec with a bitstream of its own for the asset's kind encodes it with its defaults. Where
only `any.raw` accepts the asset, or the lossless file is not larger anyway, lossless wins: nobody wants to lose
something for nothing. A target size is met the same way, and raises TargetSizeError if nothing meets it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from squeeze3d.assets.source import Loaded
from squeeze3d.bitstream.limits import format_bytes
from squeeze3d.codecs.registry import codec_by_id, codecs
from squeeze3d.codecs.spec import CodecSpec, Fidelity, Job, Kind
from squeeze3d.errors import TargetSizeError, UnsupportedError, UsageError

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Choice:
    """The winner and what else was tried."""

    spec: CodecSpec
    data: bytes
    job: Job
    tried: tuple[Mapping[str, Any], ...]


def select(
    loaded: Loaded,
    *,
    target_size: int | None,
    codec: str | None,
    options: Mapping[str, Any],
    progress: Progress,
) -> Choice:
    """Encode with the named codec, or with the best one for the goal.

    Raises UsageError (unknown codec, options without a codec), UnsupportedError (the codec does not take this kind of
    asset), TargetSizeError (nothing fits).
    """
    if target_size is not None and target_size <= 0:
        raise UsageError(f"target size must be positive, not {target_size}")
    kind = Kind.of(loaded.asset)
    if codec is not None:
        spec = codec_by_id(codec)
        if kind not in spec.kinds:
            takes = ", ".join(sorted(spec.kinds))
            fitting = ", ".join(s.id for s in codecs(kind))
            raise UnsupportedError(f"codec {codec} takes {takes}, not {kind}", hint=f"codecs for {kind}: {fitting}")
        data, job = _run(spec, loaded, options, target_size, progress)
        return Choice(spec, data, job, ({"codec": spec.id, "bytes": len(data)},))
    if options:
        raise UsageError("codec options need a codec", hint=f"add `--codec`, one of {_ids(codecs(kind))}")

    tried: list[Mapping[str, Any]] = []
    best: tuple[CodecSpec, bytes, Job] | None = None
    failures: list[TargetSizeError] = []
    for spec in sorted(codecs(kind), key=lambda s: s.fidelity is Fidelity.LOSSLESS):
        limit = target_size if best is None or target_size is not None else len(best[1])
        try:
            data, job = _run(spec, loaded, {}, limit, progress)
        except TargetSizeError as error:
            tried.append({"codec": spec.id, "reason": str(error)})
            failures.append(error)
            continue
        tried.append({"codec": spec.id, "bytes": len(data)})
        if best is None or spec.fidelity is Fidelity.LOSSLESS:
            best = spec, data, job
    if best is None:
        assert target_size is not None
        raise TargetSizeError(
            f"no codec fits the asset into {format_bytes(target_size)}: {failures[0]}",
            hint="raise `--target-size`",
        )
    return Choice(*best, tuple(tried))


def _run(
    spec: CodecSpec, loaded: Loaded, options: Mapping[str, Any], target_size: int | None, progress: Progress
) -> tuple[bytes, Job]:
    job = Job(target_size, progress=progress)
    container = spec.encode(loaded, spec.make_options(options), job)
    data = container.to_bytes()
    assert target_size is None or len(data) <= target_size, f"{spec.id} exceeded its target size"
    return data, job


def _ids(specs: tuple[CodecSpec, ...]) -> str:
    return ", ".join(spec.id for spec in specs)
