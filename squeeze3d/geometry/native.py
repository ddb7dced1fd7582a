"""Import open3d on machines without libusb.

open3d's wheel links against libusb-1.0 (for depth cameras) although nothing here uses it. Bare machines lack that
library; the `libusb-package` wheel carries one, and loading it first satisfies the linker.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

from squeeze3d.errors import MissingExtraError


@cache
def open3d() -> Any:
    """The open3d module, imported on first use (about a second).

    Raises MissingExtraError if it cannot be loaded.
    """
    try:
        import libusb_package

        ctypes.CDLL(str(libusb_package.get_library_path()), mode=ctypes.RTLD_GLOBAL)
    except (ImportError, OSError):
        pass  # The system may have its own libusb; the import below tells.
    try:
        import open3d as module
    except (ImportError, OSError) as error:
        raise MissingExtraError(
            f"open3d cannot be loaded: {error}", hint="pip install open3d libusb-package"
        ) from error
    module.utility.set_verbosity_level(module.utility.VerbosityLevel.Error)
    return module
