"""`corto`: meshes as they are through Corto, with colours at their vertices."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from squeeze3d.assets.colour import linear_colours
from squeeze3d.assets.formats import load, write_files
from squeeze3d.assets.mesh import Mesh, Primitive
from squeeze3d.assets.source import Asset
from squeeze3d.bench.contenders import external
from squeeze3d.bench.contenders.base import Contender, Encoded, Setting
from squeeze3d.bench.datasets.base import cache_folder
from squeeze3d.codecs.spec import Kind
from squeeze3d.errors import FormatError
from squeeze3d.geometry.surface import Surface, flatten

PROGRAM = "corto"
STREAM = "mesh.crt"
BITS = (6, 8, 10, 12, 14)


class Corto(Contender):
    """Corto at 6 to 14 bits of positions. Counted is the `.crt` file.

    Parts are merged, and textures become colours of vertices: what the program writes of its decoder's work shows no
    textures. It decodes only what it encodes in the same run (`-P`), so that mesh waits in the cache under the hash
    of the stream.
    """

    id = "corto"
    summary = "Corto at 6 to 14 bits, colours at vertices"
    kinds = frozenset({Kind.MESH})

    def missing(self) -> str | None:
        if external.find(PROGRAM) is None:
            return "corto is not installed: build https://github.com/cnr-isti-vclab/corto and put it into PATH"
        return None

    def settings(self, sizes: Sequence[int], kind: Kind) -> Sequence[Setting]:
        return [Setting(f"{bits} bits", values={"bits": bits}) for bits in BITS]

    def encode(self, source: Path, setting: Setting) -> Encoded:
        mesh = load(source)
        assert isinstance(mesh, Mesh)
        with tempfile.TemporaryDirectory() as folder:
            given, stream, seen = (Path(folder, name) for name in ("in.ply", STREAM, "seen.ply"))
            given.write_bytes(write_files(_painted(flatten(mesh)), given.name)[given.name])
            external.run(PROGRAM, ["-v", str(setting.values["bits"]), "-o", stream, "-P", seen, given])
            data = stream.read_bytes()
            place = _place(data)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(seen.read_bytes())
        return Encoded({STREAM: data})

    def decode(self, files: Mapping[str, bytes]) -> Asset:
        place = _place(files[STREAM])
        if not place.exists():
            raise FormatError("this stream was not encoded here, and Corto decodes no others")
        return load(place)


def _place(stream: bytes) -> Path:
    return cache_folder() / "corto" / f"{hashlib.sha256(stream).hexdigest()}.ply"


def _painted(surface: Surface) -> Mesh:
    """A surface with the colours that it has at its vertices; of a vertex with several, those of one triangle."""
    corners = surface.triangles.reshape(-1)
    used, first = np.unique(corners, return_index=True)
    shown = surface.colours_at(first // 3, np.eye(3)[first % 3])
    colours = np.ones((len(surface.positions), 4), dtype=np.float32)
    colours[used] = linear_colours(shown)
    positions = surface.positions.astype(np.float32)
    return Mesh((Primitive(positions, surface.triangles.astype(np.int32), colours=colours),))
