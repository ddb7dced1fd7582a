"""open3d is imported with what is needed and no more."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
from squeeze3d.geometry import native
native.leave_out_plotting()
open3d = native.open3d()
scene = open3d.t.geometry.RaycastingScene()
assert not {"dash", "plotly", "plotly.graph_objects"} & set(sys.modules)
import plotly
assert plotly.__file__
"""


def test_plotting_is_left_out_and_can_still_be_imported_by_others():
    subprocess.run([sys.executable, "-c", SCRIPT], check=True, timeout=120)
