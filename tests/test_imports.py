"""The layers of the program: who may import whom, and who may print."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HOMES = {"squeeze3d.codecs": "codecs", "squeeze3d.bitstream": "bitstream", "squeeze3d.bench": "bench"}
"""Packages whose folder is not below squeeze3d/."""


def modules() -> dict[str, Path]:
    """All modules of the program by their name once installed."""
    found = {}
    for package, folder in {"squeeze3d": "squeeze3d", **HOMES}.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found[".".join([package, *parts]).removesuffix(".__init__")] = path
    return found


MODULES = modules()


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(module: str, *, deferred: bool) -> Iterator[str]:
    """Names a module imports; with `deferred`, those inside functions too. What only type checkers see is left out."""
    waiting: list[ast.AST] = [tree(module)]
    while waiting:
        node = waiting.pop()
        if is_type_checking(node):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} uses a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        if deferred or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def below(package: str) -> list[str]:
    return [module for module in MODULES if within(module, package)]


def test_all_folders_are_found():
    for package in ("assets", "bitstream", "cli", "codecs", "geometry", "texture"):
        assert len(below(f"squeeze3d.{package}")) > 2


@pytest.mark.parametrize("module", below("squeeze3d.bitstream"))
def test_bitstream_stands_alone(module):
    ours = ("squeeze3d.bitstream", "squeeze3d.errors", "squeeze3d.compiled")
    allowed = (*ours, "numpy", "constriction", "msgpack", "zstandard", "scipy")
    for name in imports(module, deferred=True):
        assert within(name, *allowed) or name.split(".")[0] in sys.stdlib_module_names, name


FORBIDDEN = {
    "squeeze3d.errors": ("squeeze3d",),
    "squeeze3d.files": ("squeeze3d.api", "squeeze3d.assets", "squeeze3d.codecs", "squeeze3d.cli"),
    "squeeze3d.assets": (
        "squeeze3d.api",
        "squeeze3d.bench",
        "squeeze3d.cli",
        "squeeze3d.codecs",
        "squeeze3d.geometry",
        "squeeze3d.texture",
    ),
    "squeeze3d.geometry": ("squeeze3d.api", "squeeze3d.bench", "squeeze3d.cli", "squeeze3d.codecs"),
    "squeeze3d.texture": ("squeeze3d.api", "squeeze3d.bench", "squeeze3d.cli", "squeeze3d.codecs"),
    "squeeze3d.codecs": ("squeeze3d.api", "squeeze3d.bench", "squeeze3d.cli", "squeeze3d.training"),
    "squeeze3d.mapping": (
        "squeeze3d.api",
        "squeeze3d.bench",
        "squeeze3d.cli",
        "squeeze3d.training",
        "squeeze3d.weights",
    ),
    "squeeze3d.weights": (
        "squeeze3d.api",
        "squeeze3d.bench",
        "squeeze3d.cli",
        "squeeze3d.codecs",
        "squeeze3d.training",
    ),
    "squeeze3d.device": ("squeeze3d.api", "squeeze3d.assets", "squeeze3d.cli", "squeeze3d.codecs"),
    "squeeze3d.training": ("squeeze3d.api", "squeeze3d.bench", "squeeze3d.cli"),
    "squeeze3d.api": ("squeeze3d.bench", "squeeze3d.cli"),
    "squeeze3d.cli": ("squeeze3d.bench",),
}


MAY_IMPORT_BENCH = "squeeze3d.cli.bench"
"""The verb that runs the benchmark."""


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_point_one_way(package):
    for module in below(package):
        if module == MAY_IMPORT_BENCH:
            continue
        for name in imports(module, deferred=True):
            assert not within(name, *FORBIDDEN[package]), f"{module} imports {name}"


NETWORKS = (
    *(f"squeeze3d.mapping.{name}" for name in ("checkpoint", "conv3d", "deep_mlp", "losses", "networks")),
    *(f"squeeze3d.mapping.{name}" for name in ("residual_mlp", "sensitivity", "triplanes")),
    *(f"squeeze3d.backbones.{name}" for name in ("cloud_distance", "field_lite", "points_lite", "published")),
    *(f"squeeze3d.backbones.instantmesh.{name}" for name in ("decoder", "encoder", "images", "lattice", "mesh")),
    *(f"squeeze3d.backbones.instantmesh.{name}" for name in ("network", "transformer", "weights")),
    *(f"squeeze3d.backbones.lion.{name}" for name in ("layers", "loading", "network", "operations", "priors", "unet")),
    *(f"squeeze3d.backbones.meshanything.{name}" for name in ("encoder", "layers", "network")),
    *(f"squeeze3d.backbones.nerfmae.{name}" for name in ("field", "grid", "loading", "network", "slabs")),
    *(f"squeeze3d.backbones.nerfmae.{name}" for name in ("swin", "unet")),
    *(f"squeeze3d.backbones.openlrm.{name}" for name in ("cameras", "decoder", "loading", "pictures", "planes")),
    *(f"squeeze3d.backbones.openlrm.{name}" for name in ("surface", "transformer", "vision", "volume")),
    "squeeze3d.backbones.point_sets",
    *(f"squeeze3d.backbones.pointnet2.{name}" for name in ("encoder", "network")),
    *(f"squeeze3d.backbones.shape.{name}" for name in ("decoder", "lattice", "network", "surface")),
    "squeeze3d.backbones.triplane_sampling",
    *(f"squeeze3d.codecs.splats.{name}" for name in ("refit", "settle", "views")),
    "squeeze3d.training",
)
"""Modules that are torch code from end to end. Whoever needs them imports them in a function."""


@pytest.mark.parametrize("module", MODULES)
def test_slow_libraries_wait_until_they_are_needed(module):
    """Importing torch and open3d takes seconds, scipy and trimesh a good part of one."""
    for name in imports(module, deferred=False):
        if not within(module, *NETWORKS):
            assert not within(name, "torch", "open3d", *NETWORKS), name
        if within(module, "squeeze3d.codecs", "squeeze3d.geometry", "squeeze3d.texture", "squeeze3d.api"):
            assert not within(name, "scipy", "trimesh", "PIL", "xatlas", "fast_simplification"), name


def prints(module: str) -> list[int]:
    """Lines that print or write to the terminal."""
    found = []
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            found.append(node.lineno)
        if isinstance(node, ast.Attribute) and node.attr in ("stdout", "stderr"):
            found.append(node.lineno)
    return found


MAY_PRINT = (
    "squeeze3d.cli",
    "squeeze3d.bench",
    "squeeze3d.__main__",
    "squeeze3d.codecs.colour.fit_priors",
    "squeeze3d.codecs.meshes.fit_priors",
    "squeeze3d.codecs.surface.fit_priors",
)


@pytest.mark.parametrize("module", [m for m in MODULES if not within(m, *MAY_PRINT)])
def test_only_the_command_line_prints(module):
    assert not prints(module)


@pytest.mark.parametrize("module", MODULES)
def test_no_pickle(module):
    assert not any(within(name, "pickle", "shelve", "marshal", "dill") for name in imports(module, deferred=True))
