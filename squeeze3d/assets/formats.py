"""Which file formats exist, and how to get from bytes to assets and back.

```text
path, bytes or stdin ─► Source ─► format (suffix, else first bytes) ─► reader ─► Loaded(asset, losses)
asset ─► format (suffix) ─► writer ─► {file name: bytes} ─► disk
```
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from squeeze3d.assets.field import RadianceField
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.sniff import describe_foreign, sniff_id
from squeeze3d.assets.source import Asset, Loaded, Source, is_safe_name
from squeeze3d.assets.splats import Splats
from squeeze3d.assets.validate import check_asset
from squeeze3d.errors import FormatError, InputError, UnsupportedError
from squeeze3d.files import atomic_write_many, check_writable

if TYPE_CHECKING:
    from types import ModuleType


@dataclass(frozen=True, slots=True)
class Format:
    """One file format.

    The module named `module` has two functions:

    - `read(source: Source, losses: LossReport) -> Asset`
    - `write(asset: Asset, name: str, losses: LossReport) -> dict[str, bytes]`, where `name` is the main
      file's name and the result maps relative file names to contents, main file first.
    """

    id: str
    suffixes: tuple[str, ...]
    module: str
    writes: tuple[type, ...]
    """Asset types the writer accepts."""
    summary: str

    def load_module(self) -> ModuleType:
        """Import the reader and writer; kept out of start-up because some need trimesh."""
        return importlib.import_module(self.module)


_FORMATS = (
    Format("glb", (".glb",), "squeeze3d.assets.gltf", (Mesh, PointCloud), "binary glTF 2.0"),
    Format("gltf", (".gltf",), "squeeze3d.assets.gltf", (Mesh, PointCloud), "glTF 2.0 with side files"),
    Format("obj", (".obj",), "squeeze3d.assets.obj", (Mesh,), "Wavefront OBJ with MTL"),
    Format("ply", (".ply",), "squeeze3d.assets.ply", (Mesh, PointCloud, Splats), "PLY: mesh, points or splats"),
    Format("stl", (".stl",), "squeeze3d.assets.stl", (Mesh,), "STL, binary or ASCII"),
    Format("off", (".off",), "squeeze3d.assets.off", (Mesh,), "Object File Format"),
    Format("npz", (".npz",), "squeeze3d.assets.npz", (RadianceField,), "radiance-field grid"),
)


def default_format(asset: Asset) -> str:
    """Id of the format an asset is written in where nobody asks for another: one file that holds everything."""
    return {Mesh: "glb", PointCloud: "ply", Splats: "ply", RadianceField: "npz"}[type(asset)]


def all_formats() -> tuple[Format, ...]:
    """All formats, in the order help pages show them."""
    return _FORMATS


def format_for_suffix(name: str) -> Format:
    """Format by file name or suffix (`model.glb`, `.glb`, `glb`).

    Raises UnsupportedError for an unknown suffix.
    """
    suffix = "." + name.rsplit(".", 1)[-1].lower()
    for candidate in _FORMATS:
        if suffix in candidate.suffixes:
            return candidate
    raise UnsupportedError(f"unknown file type `{name}`", hint=f"supported: {_suffix_list(_FORMATS)}")


def _suffix_list(some: Iterable[Format]) -> str:
    return ", ".join(suffix for each in some for suffix in each.suffixes)


def _format_by_id(name: str) -> Format:
    for candidate in _FORMATS:
        if name.lower().removeprefix(".") == candidate.id:
            return candidate
    raise UnsupportedError(f"unknown format `{name}`", hint=f"formats: {', '.join(f.id for f in _FORMATS)}")


def sniff_format(data: bytes) -> Format | None:
    """Format by content, for standard input and files without a telling name; None when in doubt."""
    found = sniff_id(data)
    return None if found is None else _format_by_id(found)


def read(source: str | Path | bytes | Source, *, format: str | None = None) -> Loaded:
    r"""Read an asset, and say what the file held that the asset cannot.

    Parameters
    ----------
    source : a path, `-` for standard input, the bytes of a file, or a prepared `Source` (bytes with side
    files). format : id of the format (`glb`, `obj` ...); None takes the suffix, or the first bytes where
    there is none.

    Raises
    ------
    InputError : no such file, nothing to compress, or geometry that is not finite.
    FormatError : the content does not follow its format; `TruncatedError` where it ends early.
    UnsupportedError : a format, or a feature of one, that cannot be read.
    LimitError : the content claims more memory than the reader allows.

    Hostile bytes end in one of these, never in a crash, a hang or unbounded memory.

    >>> triangle = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
    >>> read(triangle).format
    'obj'
    >>> read(triangle).asset.face_count
    1
    """
    opened = _open_source(source)
    if not opened.data:
        raise InputError(f"`{opened.name}` is empty")
    chosen = _choose_format(opened, format)
    losses = LossReport()
    asset: Asset = chosen.load_module().read(opened, losses)
    check_asset(asset, opened.name)
    return Loaded(asset, chosen.id, losses, opened)


def load(source: str | Path | bytes | Source, *, format: str | None = None) -> Asset:
    """Read an asset; like `read`, with faults of the file as Python warnings.

    The inverse is `save`.
    """
    loaded = read(source, format=format)
    for loss in loaded.losses:
        if loss.warning:
            warnings.warn(f"{loaded.source.name}: {loss.detail}", stacklevel=2)
    return loaded.asset


def write_files(
    asset: Asset, name: str, *, format: str | None = None, losses: LossReport | None = None
) -> dict[str, bytes]:
    """Encode an asset as files in memory.

    Parameters
    ----------
    name : name of the main file, without folder; side files are named after it.
    format : id of the format; None takes the suffix of `name`.
    losses : where the writer says what the format cannot express.

    Returns
    -------
    Contents by file name, main file first. The same asset gives the same bytes.
    """
    chosen = format_for_suffix(name) if format is None else _format_by_id(format)
    if not isinstance(asset, chosen.writes):
        able = [each for each in _FORMATS if isinstance(asset, each.writes)]
        raise UnsupportedError(
            f"{chosen.suffixes[0]} files cannot hold a {type(asset).__name__}",
            hint=f"use {_suffix_list(able)}",
        )
    files: dict[str, bytes] = chosen.load_module().write(asset, name, LossReport() if losses is None else losses)
    assert all(is_safe_name(each) for each in list(files)[1:]), "a writer named a side file outside its folder"
    return files


def save(asset: Asset, path: str | Path, *, overwrite: bool = False) -> LossReport:
    """Write an asset to disk, with its side files; each file appears whole or not at all.

    Raises
    ------
    OutputError : one of the files exists and `overwrite` is false, or the system refuses.
    UnsupportedError : the format cannot hold this kind of asset.
    """
    target = Path(path)
    check_writable([target], overwrite=overwrite)
    losses = LossReport()
    files = write_files(asset, target.name, losses=losses)
    atomic_write_many({target.parent / name: data for name, data in files.items()}, overwrite=overwrite)
    return losses


def _open_source(source: str | Path | bytes | Source) -> Source:
    if isinstance(source, Source):
        return source
    if isinstance(source, bytes | bytearray | memoryview):
        return Source(bytes(source), "bytes")
    if source == "-":
        return Source(sys.stdin.buffer.read(), "-")
    path = Path(source)
    try:
        if path.is_dir():
            raise InputError(
                f"`{path}` is a directory",
                hint=f"compress a folder with `sq3d compress {path}/* --output-dir OUT`",
            )
        return Source(path.read_bytes(), path.name, path.parent)
    except FileNotFoundError:
        raise InputError(f"no such file: `{path}`") from None
    except OSError as error:
        raise InputError(f"cannot read `{path}`: {(error.strerror or str(error)).lower()}") from None
    except ValueError:
        # A NUL character in the name.
        raise InputError(f"no such file: {str(path)!r}") from None


def _choose_format(source: Source, wanted: str | None) -> Format:
    """Explicit id, else suffix, else first bytes; content that contradicts the suffix is an error."""
    if wanted is not None:
        return _format_by_id(wanted)
    foreign = describe_foreign(source.data)
    if foreign is not None:
        what, hint = foreign
        raise InputError(f"`{source.name}` is {what}, not a 3D asset", hint=hint)
    found = sniff_format(source.data)
    suffix = Path(source.name).suffix.lower()
    named = next((each for each in _FORMATS if suffix in each.suffixes), None)
    if named is None:
        if found is None:
            raise UnsupportedError(
                f"cannot tell what kind of file `{source.name}` is",
                hint=f"supported: {_suffix_list(_FORMATS)}",
            )
        return found
    if found is None or found is named:
        return named
    if found.module == named.module:
        # A .gltf that is binary, or the other way round: one reader takes both.
        return found
    raise FormatError(
        f"`{source.name}` is named {suffix} but its content looks like {found.summary} ({found.suffixes[0]})",
        hint=f"rename it to `{Path(source.name).stem}{found.suffixes[0]}`, or give its format explicitly",
    )
