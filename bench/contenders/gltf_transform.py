"""`gltf-transform`: the command line of glTF Transform."""

from __future__ import annotations

from pathlib import Path

from squeeze3d.bench.contenders import draco_stream, external
from squeeze3d.bench.contenders.gltf_tools import GltfTool

PROGRAM = "gltf-transform"


class GltfTransform(GltfTool):
    """`optimize` with simplification to a ratio at any error, then `draco` at its slowest speeds with 8 to 12 bits of
    positions, and zstd -19 of the GLB. Counted is all of that file.
    """

    id = "gltf-transform"
    summary = "gltf-transform optimize, then Draco; WebP textures, zstd -19"
    packages = ("DracoPy", "Pillow", "zstandard")

    def missing(self) -> str | None:
        if external.find(PROGRAM) is None:
            return "gltf-transform is not installed: npm install -g @gltf-transform/cli"
        return draco_stream.missing()

    def versions(self) -> dict[str, str]:
        return {PROGRAM: external.first_words(PROGRAM, "--version"), **super().versions()}

    def pack(self, source: Path, target: Path, ratio: float, bits: int) -> None:
        simplified = ["--simplify", "true", "--simplify-error", "1", "--simplify-ratio", f"{ratio:.6f}"]
        if ratio >= 1:
            simplified = ["--simplify", "false"]
        between = source.with_name("between.glb")
        plain = ["--compress", "false", "--texture-compress", "false"]
        external.run(PROGRAM, ["optimize", source, between, *plain, *simplified])
        speeds = ["--encode-speed", "0", "--decode-speed", "0"]
        precision = ["--quantize-position", str(bits), "--quantize-normal", str(min(bits, 8))]
        precision += ["--quantize-texcoord", str(min(bits, 10))]
        external.run(PROGRAM, ["draco", between, target, *speeds, *precision])
