"""Import open3d on machines without libusb, and quickly.

open3d's wheel links against libusb-1.0 (for depth cameras) although nothing here uses it. Bare machines lack that
library; the `libusb-package` wheel carries one, and loading it first satisfies the linker.

It also imports plotly and dash, for plots in a browser. That is two thirds of its second, which a program that never
plots can do without.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType
from typing import Any

from squeeze3d.errors import MissingExtraError

_PLOTTING = ("dash", "plotly", "plotly.graph_objects")
_leaves_out_plotting = False


def leave_out_plotting() -> None:
    """Import open3d without what it plots with, from now on.

    For processes that belong to this program: open3d's `draw_plotly` does not work in them.
    """
    global _leaves_out_plotting
    _leaves_out_plotting = True


@cache
def open3d() -> Any:
    """The open3d module, imported on first use (about a second, a third of it without plotting).

    Raises MissingExtraError if it cannot be loaded.
    """
    import ctypes

    try:
        import libusb_package

        ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
    except (ImportError, OSError):
        pass  # The system may have its own libusb; the import below tells.
    try:
        with _empty_modules(_PLOTTING if _leaves_out_plotting else ()):
            import open3d as module
    except (ImportError, OSError) as error:
        raise MissingExtraError(
            f"open3d cannot be loaded: {error}", hint="pip install open3d libusb-package"
        ) from error
    module.utility.set_verbosity_level(module.utility.VerbosityLevel.Error)
    return module


@contextmanager
def _empty_modules(names: tuple[str, ...]) -> Iterator[None]:
    """Modules whose every attribute is None, in place of those that are not imported yet."""
    missing = [name for name in names if name not in sys.modules]
    for name in missing:
        sys.modules[name] = module = ModuleType(name)
        module.__dict__["__getattr__"] = lambda attribute: None
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]
