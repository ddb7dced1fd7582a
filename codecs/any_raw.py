"""`any.raw`: the files themselves, compressed with zstandard. Lossless; the last resort that always works.

```text
main file + side files ─► [names, sizes] + contents ─► zstandard ─► BULK
```
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from squeeze3d.assets.source import Loaded, is_safe_name
from squeeze3d.bitstream.bulk import pack_bulk, unpack_bulk
from squeeze3d.bitstream.container import SOURCES, Container, Tag
from squeeze3d.bitstream.limits import Limits, format_bytes
from squeeze3d.bitstream.parameters import pack_parameters, unpack_parameters
from squeeze3d.codecs.spec import CodecSpec, Fidelity, Job, Kind, RawFiles, option
from squeeze3d.errors import FormatError, TargetSizeError, UnsupportedError

MAX_SIDE_FILES = 10_000
QUICK_LEVEL = 3


@dataclass(frozen=True, slots=True)
class RawOptions:
    """Options of `any.raw`."""

    level: int = option(19, "zstandard level, 1 (fast) to 22 (small)", low=1, high=22)


def encode(loaded: Loaded, options: RawOptions, job: Job) -> Container:
    """Store the source files as they are.

    The names of side files are kept because the main file refers to them; the main file's own name is not.
    """
    main = _main_name(SOURCES.index(loaded.format))
    # The main file's name is not stored; a side file of the same name would be taken for it.
    side = sorted((name, data) for name, data in loaded.source.used.items() if name != main)
    if len(side) < len(loaded.source.used) or len(side) > MAX_SIDE_FILES:
        raise UnsupportedError(f"any.raw cannot keep a side file named `{main}`, nor more than {MAX_SIDE_FILES} files")
    content = b"".join([loaded.source.data, *(data for _, data in side)])
    job.progress("compress", 0.1)
    if job.target_size is not None and options.level > QUICK_LEVEL:
        # The high levels take seconds a megabyte and gain less than half: no use where even half is too much.
        quick = len(pack_bulk(content, level=QUICK_LEVEL))
        if quick // 2 > job.target_size:
            raise _too_large(quick, job.target_size)
    chunks = {Tag.BULK: pack_bulk(content, level=options.level)}
    if side:
        chunks[Tag.PARAMETERS] = pack_parameters([[name, len(data)] for name, data in side])
    container = Container(SPEC.wire, SOURCES.index(loaded.format), chunks=chunks)
    size = len(container.to_bytes())
    job.notes["files"] = 1 + len(side)
    if job.target_size is not None and size > job.target_size:
        raise _too_large(size, job.target_size)
    return container


def _too_large(size: int, target: int) -> TargetSizeError:
    return TargetSizeError(
        f"lossless compression needs about {format_bytes(size)}, more than the target of {format_bytes(target)}",
        hint="leave the codec to the program, or raise `--target-size`",
    )


def decode(container: Container, limits: Limits) -> RawFiles:
    """Return the stored files, main file first under the name `asset.<suffix>`.

    Raises FormatError if names or sizes are inconsistent or a name would leave the output folder.
    """
    container.expect({Tag.BULK}, {Tag.PARAMETERS})
    if not 0 < container.source < len(SOURCES):
        raise FormatError(f"source format {container.source} is unknown")
    content = unpack_bulk(container.chunks[Tag.BULK], limits, "stored asset")
    side = _side_files(unpack_parameters(container.chunks.get(Tag.PARAMETERS, b"\x90")), len(content))
    main = _main_name(container.source)
    files = {main: b""}
    end = len(content)
    for name, size in reversed(side):
        if name in files:
            raise FormatError(f"file name `{name}` is stored twice")
        files[name] = content[end - size : end]
        end -= size
    files[main] = content[:end]
    return RawFiles(files)


def _main_name(source: int) -> str:
    return f"asset.{SOURCES[source]}"


def _side_files(value: Any, available: int) -> list[tuple[str, int]]:
    if not isinstance(value, list):
        raise FormatError("list of side files is malformed")
    result = []
    for entry in value:
        match entry:
            case [str(name), size] if type(size) is int and is_safe_name(name) and 0 <= size <= available:
                result.append((name, size))
                available -= size
            case _:
                raise FormatError("list of side files is malformed or names a file outside its folder")
    return result


SPEC = CodecSpec(
    id="any.raw",
    wire=1,
    summary="the files themselves, compressed with zstandard",
    kinds=frozenset(Kind),
    fidelity=Fidelity.LOSSLESS,
    options=RawOptions,
    encode=encode,
    decode=decode,
)
