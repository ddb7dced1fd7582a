"""`gltfpack`: the command line of meshoptimizer."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from squeeze3d.bench.contenders import external
from squeeze3d.bench.contenders.gltf_tools import GltfTool

PROGRAM = "gltfpack"


class Gltfpack(GltfTool):
    """gltfpack with `-cc`, aggressive and permissive simplification, 8 to 12 bits of positions, and zstd -19 of the
    GLB, which its documentation advises. Counted is all of that file.
    """

    id = "gltfpack"
    summary = "gltfpack -cc with simplification, WebP textures, zstd -19"
    packages = ("meshoptimizer", "Pillow", "zstandard")

    def missing(self) -> str | None:
        if external.find(PROGRAM) is None:
            return "gltfpack is not installed: npm install -g gltfpack"
        if importlib.util.find_spec("meshoptimizer") is None:
            return "its files cannot be read without meshoptimizer: pip install 'squeeze3d[meshopt]'"
        return None

    def versions(self) -> dict[str, str]:
        return {PROGRAM: external.first_words(PROGRAM, "-v"), **super().versions()}

    def pack(self, source: Path, target: Path, ratio: float, bits: int) -> None:
        # Extensions of material and scene are gone already; what is left may be merged at will.
        simplified = ["-si", f"{ratio:.6f}", "-se", "1", "-sa", "-sp", "-sv"] if ratio < 1 else []
        precision = ["-vp", str(bits), "-vt", str(min(bits, 10)), "-vn", str(min(bits, 8))]
        external.run(PROGRAM, ["-i", source, "-o", target, "-cc", "-mm", *precision, *simplified])
