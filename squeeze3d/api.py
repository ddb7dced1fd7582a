"""The Python API: compress, decompress, inspect, verify.

```text
path, bytes or asset ─► read ─► select codec and settings ─► encode ─► check by decoding ─► .sq3 bytes
.sq3 bytes ─► Container (checksum) ─► codec ─► asset
```
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.formats import default_format, read, write_files
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.source import Asset, Loaded, Source
from squeeze3d.assets.splats import Splats
from squeeze3d.bitstream.container import SOURCES, Container, Tag
from squeeze3d.bitstream.limits import Limits
from squeeze3d.bitstream.parameters import unpack_parameters
from squeeze3d.codecs.memory import check_file
from squeeze3d.codecs.registry import codec_by_wire, codecs
from squeeze3d.codecs.select import DEFAULT_EFFORT, MEASURED, Request, losses_of, select
from squeeze3d.codecs.spec import CodecSpec, Fidelity, Kind, RawFiles
from squeeze3d.device import using
from squeeze3d.errors import FormatError, InputError, UnsupportedError, UsageError, VerifyError

if TYPE_CHECKING:
    from squeeze3d.quality.figures import Measurement
    from squeeze3d.quality.goal import Goal

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Encoded:
    """A compressed asset and how it came about."""

    data: bytes
    """The .sq3 file."""
    codec: CodecSpec
    kind: Kind
    source_bytes: int
    """Size of the input, side files included; 0 if the asset was given as an object."""
    losses: LossReport
    """Everything that is not kept, by the reader and the codec."""
    notes: Mapping[str, Any]
    """What the codec chose, plain data."""
    tried: tuple[Mapping[str, Any], ...]
    """Codecs that were considered: `codec`, `bytes` or `reason`."""
    seconds: float
    measurement: Measurement | None = None
    """What the decoded file looks like, from rendered views; None where nothing was measured."""
    reached: bool = True
    """Whether the quality asked for is met; false only where a target size stood in the way."""

    @property
    def ratio(self) -> float:
        """Input size over output size; 0 if the input had no size."""
        return self.source_bytes / len(self.data)


@dataclass(frozen=True)
class Info:
    """What a .sq3 file says about itself, without decoding it."""

    size: int
    format_version: int
    codec: CodecSpec
    source_format: str
    """Id of the format the asset came from; empty if unknown."""
    chunks: Mapping[int, int]
    """Payload bytes by chunk tag."""
    overhead: int
    """Bytes that are not chunk payload: header, pose, fingerprint, checksum."""
    centre: tuple[float, float, float] | None
    """Centre of the asset in its own units, where the codec stores a pose."""
    scale: float | None
    """Longest side of the asset's box in its own units."""
    fingerprint: str | None
    """Hexadecimal start of the SHA-256 of the weights it needs."""
    metadata: Mapping[str, Any]
    measurement: Measurement | None
    """What the encoder measured, if it is stored."""


def compress(
    source: str | Path | bytes | Source | Asset,
    *,
    target_size: int | None = None,
    quality: str | float | None = None,
    codec: str | None = None,
    options: Mapping[str, Any] | None = None,
    effort: int = DEFAULT_EFFORT,
    metadata: bool = True,
    format: str | None = None,
    strict: bool = False,
    device: str = "auto",
    max_memory: int | None = None,
) -> bytes:
    """Compress an asset to the bytes of a .sq3 file.

    Parameters
    ----------
    source : path of an asset file, its bytes, or an asset object (`Mesh`, `PointCloud`, ...).
    target_size : largest size of the result in bytes: as good as possible within it.
    quality : smallest result that reaches a quality: `draft`, `paper`, `good`, `high` or a PSNR in dB, of views or, for
        points, D1. With `target_size` too, the best that fits if the quality does not. Neither: `paper`, or the codec's
        options where `codec` is given.
    codec : id of a codec (`mesh.surface`, `any.raw`); None chooses by the asset and the target.
    options : options of the named codec by name, see `sq3d codecs ID`.
    effort : 1 (fast) to 9 (small): how many settings a search may try.
    metadata : store the measurements in the file, about 20 bytes.
    format : format of `source` if its name does not tell (`glb`, `obj` ...).
    strict : raise instead of dropping anything.
    device : where networks run: `cpu`, `cuda`, `mps`, or `auto` for the fastest there is. Classical codecs use none.
    max_memory : bytes that encoding may take, by estimate: codecs that take more are not tried. What the machine has if
        None.

    Raises
    ------
    InputError, FormatError : the asset cannot be read.
    LimitError : encoding would take more than `max_memory`.
    TargetSizeError : nothing fits `target_size`.
    UsageError : unknown codec or option.
    UnsupportedError : `strict` and something would be lost.
    VerifyError : `strict` and the quality cannot be reached within `target_size`.

    Examples
    --------
    >>> import squeeze3d, numpy as np
    >>> triangle = squeeze3d.Mesh((squeeze3d.Primitive(np.eye(3, dtype="f4"), np.array([[0, 1, 2]], "i4")),))
    >>> data = squeeze3d.compress(triangle)
    >>> squeeze3d.decompress(data).face_count
    1
    """
    return encode(
        source,
        target_size=target_size,
        quality=quality,
        codec=codec,
        options=options,
        effort=effort,
        metadata=metadata,
        format=format,
        strict=strict,
        device=device,
        max_memory=max_memory,
    ).data


def encode(
    source: str | Path | bytes | Source | Asset,
    *,
    target_size: int | None = None,
    quality: str | float | None = None,
    codec: str | None = None,
    options: Mapping[str, Any] | None = None,
    effort: int = DEFAULT_EFFORT,
    metadata: bool = True,
    format: str | None = None,
    strict: bool = False,
    device: str = "auto",
    max_memory: int | None = None,
    progress: Progress = lambda stage, fraction: None,
) -> Encoded:
    """Like `compress`, but returns the report as well. `progress` is called with a step name and a fraction."""
    started = time.perf_counter()
    if isinstance(source, str | Path):
        check_file(Path(source), max_memory)
    loaded, source_bytes = _load(source, format)
    goal = _goal(quality, loaded, default=codec is None and target_size is None and not options)
    request = Request(target_size, goal, codec, options or {}, effort, metadata, max_memory, strict)
    with using(device):
        choice = select(loaded, request, progress)
    losses = losses_of(loaded, choice.spec, choice.job)
    if strict and not choice.reached:
        raise VerifyError(
            f"the quality `{quality}` needs more than {target_size} bytes",
            hint="raise `--target-size` or lower `--quality`",
        )
    if strict and len(losses):
        what = "; ".join(x.detail for x in losses)
        raise UnsupportedError(
            f"{choice.spec.id} would lose: {what}",
            hint="drop `--strict`, or use `--codec any.raw` to keep everything",
        )
    return Encoded(
        data=choice.data,
        codec=choice.spec,
        kind=Kind.of(loaded.asset),
        source_bytes=source_bytes,
        losses=losses,
        notes=choice.job.notes,
        tried=choice.tried,
        seconds=time.perf_counter() - started,
        measurement=choice.measurement,
        reached=choice.reached,
    )


def decompress(
    data: bytes, *, max_memory: int | None = None, device: str = "auto", texture: int | None = None
) -> Asset:
    """Decode the bytes of a .sq3 file to an asset.

    Parameters
    ----------
    data : a whole .sq3 file.
    max_memory : largest allocation in bytes a decoder may make; 2 GiB if None.
    device : where networks run, as in `compress`.
    texture : width in pixels, 16 to 8192, of textures that vertex colours of a mesh are baked into; None leaves them.

    Raises
    ------
    FormatError and its subclasses : the file is damaged, or not a .sq3 file.
    LimitError : decoding would take more than `max_memory`.
    MissingWeightsError, WrongWeightsError : the file needs network weights that are not on this machine.
    UsageError : a texture out of range.
    """
    decoded = decode(data, max_memory=max_memory, device=device)
    asset = load_raw(decoded).asset if isinstance(decoded, RawFiles) else decoded
    if texture is None or not isinstance(asset, Mesh):
        return asset
    from squeeze3d.texture.bake import bake_vertex_colours

    return bake_vertex_colours(asset, texture, Limits() if max_memory is None else Limits(max_memory))


def decode(data: bytes, *, max_memory: int | None = None, device: str = "auto") -> Asset | RawFiles:
    """Like `decompress`, but returns stored files as they are (`RawFiles`) where the codec kept them."""
    container = Container.from_bytes(data)
    limits = Limits() if max_memory is None else Limits(max_memory)
    with using(device):
        return codec_by_wire(container.codec).decode(container, limits)


def load_raw(raw: RawFiles) -> Loaded:
    """Read the asset inside stored files."""
    (name, content), *side = raw.files.items()
    return read(Source(content, name, extra=dict(side)))


def inspect(data: bytes) -> Info:
    """Describe a .sq3 file without decoding it; checks structure and checksum.

    Raises FormatError and its subclasses for anything that is not a whole, undamaged .sq3 file.
    """
    container = Container.from_bytes(data)
    metadata = unpack_parameters(container.chunks[Tag.METADATA]) if Tag.METADATA in container.chunks else {}
    pose = container.pose
    known_source = container.source < len(SOURCES)
    centre = None if pose is None else pose.centre
    return Info(
        size=len(data),
        format_version=data[3],
        codec=codec_by_wire(container.codec),
        source_format=SOURCES[container.source] if known_source else "",
        chunks={tag: len(payload) for tag, payload in container.chunks.items()},
        overhead=len(data) - sum(len(payload) for payload in container.chunks.values()),
        centre=None if centre is None else (float(centre[0]), float(centre[1]), float(centre[2])),
        scale=None if pose is None else pose.scale,
        fingerprint=None if container.fingerprint is None else container.fingerprint.hex(),
        metadata=metadata if isinstance(metadata, dict) else {},
        measurement=_stored_measurement(metadata),
    )


def verify(data: bytes, *, deep: bool = False, max_memory: int | None = None, device: str = "auto") -> Info:
    """Check that a .sq3 file is whole and undamaged; with `deep`, also that it decodes.

    Raises FormatError and its subclasses if the container is damaged, VerifyError if it is intact but does not
    decode to an asset.
    """
    info = inspect(data)
    if deep:
        try:
            decompress(data, max_memory=max_memory, device=device)
        except (FormatError, InputError) as error:
            raise VerifyError(f"the container is intact, but its content does not decode: {error}") from error
    return info


def _goal(quality: str | float | None, loaded: Loaded, *, default: bool) -> Goal | None:
    """The quality goal of a request; None where the size or the codec's options decide."""
    if quality is None and not default:
        return None
    from squeeze3d.quality.goal import DEFAULT, parse_goal

    kind = Kind.of(loaded.asset)
    goal = parse_goal(DEFAULT if quality is None else str(quality), kind)
    # Where only lossless codecs take the asset, every goal is reached and nothing needs to be rendered.
    lossy = any(spec.fidelity is not Fidelity.LOSSLESS for spec in codecs(kind))
    return goal if lossy else None


def _stored_measurement(metadata: Any) -> Measurement | None:
    if not isinstance(metadata, dict) or MEASURED not in metadata:
        return None
    from squeeze3d.quality.figures import Measurement

    return Measurement.from_metadata(metadata[MEASURED])


def _load(source: str | Path | bytes | Source | Asset, format: str | None) -> tuple[Loaded, int]:
    if isinstance(source, str | Path | bytes | Source):
        loaded = read(source, format=format)
        files = [loaded.source.data, *loaded.source.used.values()]
        return loaded, sum(map(len, files))
    if isinstance(source, bytearray | memoryview):
        return _load(bytes(source), format)
    if not isinstance(source, Mesh | PointCloud | RadianceField | Splats):
        raise UsageError(f"cannot compress a {type(source).__name__}", hint="give a path, bytes or an asset")
    # Writing and reading back applies the same checks as for files and gives lossless codecs bytes to keep.
    (name, content), *side = write_files(source, f"asset.{default_format(source)}").items()
    return read(Source(content, name, extra=dict(side))), 0
