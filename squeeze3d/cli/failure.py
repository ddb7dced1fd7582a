"""`Failure`: any exception as what the user gets to see, in a form that crosses process borders."""

from __future__ import annotations

import os
import traceback
from dataclasses import dataclass

from squeeze3d.errors import LimitError, OutputError, Sq3Error, UsageError


class StdoutTakenError(UsageError):
    """`--json` was asked for while standard output carries a file."""


@dataclass(frozen=True)
class Failure:
    """Why something did not work."""

    type: str
    """Name of the error class, stable for scripts."""
    message: str
    hint: str
    exit_code: int
    trace: str = ""
    """The traceback, where it helps to find a bug."""

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """Describe an exception: ours as it is, the system's as an I/O error, any other as a bug."""
        name = type(error).__name__
        trace = "".join(traceback.format_exception(error))
        if isinstance(error, Sq3Error):
            return cls(name, error.message, error.hint, error.exit_code, trace)
        if isinstance(error, MemoryError):
            return cls(
                name,
                "out of memory",
                "free some memory, use a smaller input, or lower `--jobs`",
                LimitError.exit_code,
                trace,
            )
        if isinstance(error, OSError) and error.strerror:
            where = f": `{os.fsdecode(error.filename)}`" if isinstance(error.filename, str | bytes) else ""
            return cls(name, error.strerror.lower() + where, "", OutputError.exit_code, trace)
        what = f"{name}: {error}" if str(error) else name
        hint = "this is a bug in squeeze3d; run again with SQ3D_DEBUG=1 and report what it prints"
        return cls(name, f"internal error: {what}", hint, 1, trace)

    def to_json(self) -> dict[str, object]:
        """Plain data with stable keys."""
        return {"type": self.type, "message": self.message, "hint": self.hint, "exit_code": self.exit_code}
