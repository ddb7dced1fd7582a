"""Every process reads the same symbols from a file: with any number of threads, on any processor, without torch."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from squeeze3d.bitstream.container import Container
from squeeze3d.bitstream.limits import Limits
from squeeze3d.bitstream.pose import Pose
from squeeze3d.codecs.colour import ColourMode, ColourSettings
from squeeze3d.codecs.colour.model import encode_colours
from squeeze3d.codecs.lite.cells import surface_flags
from squeeze3d.codecs.lite.model import Header, encode_geometry, from_container, to_container

DECODE = """
import hashlib, sys

sys.modules["torch"] = None  # importing it is an error from here on
from squeeze3d.bitstream.container import Container
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.lite.model import from_container
from squeeze3d.codecs.lite.rebuild import to_mesh

model = from_container(Container.from_bytes(sys.stdin.buffer.read()), Limits())
assert len(to_mesh(model, Limits()).primitives[0].triangles)
print(hashlib.sha256(model.occupied.tobytes() + model.scalars.tobytes() + model.colours.rgb.tobytes()).hexdigest())
"""

ENVIRONMENTS = {
    "one thread": {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    "two threads": {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
    "torch without vectors": {"ATEN_CPU_CAPABILITY": "default"},
    # The matrix product of an x86 processor without fused or 256-bit operations; others ignore it.
    "another matrix product": {"OPENBLAS_CORETYPE": "Nehalem"},
}


@pytest.fixture(scope="module")
def file() -> bytes:
    """An uneven shell with scalars and colours: levels of several thousand cells, so that threads share the work."""
    header = Header(5, (1023, 900, 800), step=3, level=1)
    axes = (np.linspace(-1, 1, cells + 1) for cells in header.cells)
    x, y, z = np.meshgrid(*axes, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2) + 0.15 * np.sin(6 * x) * np.cos(5 * y)
    occupied = (radius < 0.95) & (radius > 0.6)
    flags = surface_flags(occupied)
    cells = np.argwhere(flags)
    scalars = np.rint(3 * np.sin(cells @ [0.5, 0.7, 0.3])).astype(np.int32)
    rgb = np.where((cells[:, :1] // 7 + cells[:, 2:] // 9) % 2, [220, 50, 20], [30, 90, 190]) + cells // 2
    encoder = encode_geometry(header, occupied, scalars)
    encode_colours(encoder, flags, rgb, np.ones(len(cells)), ColourSettings(ColourMode.SUM, skip=1, entries=3))
    return to_container(Pose(1.0, (0, 0, 0)), encoder.finish(), 3, 0).to_bytes()


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_same_symbols_in_every_process(file, name):
    model = from_container(Container.from_bytes(file), Limits())
    assert model.scalars is not None
    content = model.occupied.tobytes() + model.scalars.tobytes() + model.colours.rgb.tobytes()
    environment = {**os.environ, **ENVIRONMENTS[name]}
    command = [sys.executable, "-c", DECODE]
    process = subprocess.run(command, input=file, env=environment, capture_output=True, timeout=120, check=False)
    assert process.returncode == 0, process.stderr.decode()
    assert process.stdout.decode().strip() == hashlib.sha256(content).hexdigest()
