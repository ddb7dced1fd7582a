"""The error tree of squeeze3d.

Every error a user can cause is an `Sq3Error`. Its message says what is wrong and where; `hint` says what to do
next; `exit_code` is what the command line returns. Anything else that escapes is a bug in squeeze3d.

```text
Sq3Error
├── UsageError                  2   the request makes no sense
├── InputError                  3   the asset cannot be read or has nothing to compress
├── FormatError                 3   the bytes are not a valid .sq3 (or asset) file
│   ├── TruncatedError          3   the file ends early
│   ├── ChecksumError           3   the bytes are damaged
│   └── UnsupportedVersionError 4   written by a newer program, or by an unknown codec
├── UnsupportedError            4   valid, but this program cannot do it
│   ├── MissingExtraError       4   an optional dependency is not installed
│   ├── MissingWeightsError     4   network weights are not on this machine
│   └── WrongWeightsError       4   a file needs other network weights than those installed
├── OutputError                 5   refused to write, or the disk did
├── LimitError                  6   more memory or size than allowed
│   └── TargetSizeError         6   no codec fits the requested number of bytes
└── VerifyError                 7   the file does not hold what it promises
```
"""

from __future__ import annotations


class Sq3Error(Exception):
    """Base of all errors squeeze3d raises on purpose.

    Parameters
    ----------
    message : what is wrong and where, one line.
    hint : what the user can do next, one line; may be empty.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive BaseException's default pickling; worker processes need them to.
        return _rebuild, (type(self), self.message, self.hint)


def _rebuild(cls: type[Sq3Error], message: str, hint: str) -> Sq3Error:
    return cls(message, hint=hint)


class UsageError(Sq3Error):
    """The request contradicts itself or names something that does not exist."""

    exit_code = 2


class InputError(Sq3Error):
    """An input asset cannot be read, or holds nothing that can be compressed."""

    exit_code = 3


class FormatError(Sq3Error):
    """Bytes do not follow the format they claim."""

    exit_code = 3


class TruncatedError(FormatError):
    """A file ends before its own header says it should."""


class ChecksumError(FormatError):
    """A checksum does not match: the bytes were damaged."""


class UnsupportedVersionError(FormatError):
    """A file needs a newer program, or a codec this program does not know."""

    exit_code = 4


class UnsupportedError(Sq3Error):
    """The request is valid, but this program cannot carry it out."""

    exit_code = 4


class MissingExtraError(UnsupportedError):
    """An optional dependency is missing; the hint carries the exact install line."""


class MissingWeightsError(UnsupportedError):
    """Network weights are missing; the message names licence and source, the hint the command that adds them."""


class WrongWeightsError(UnsupportedError):
    """A file was made with other network weights than those installed."""


class OutputError(Sq3Error):
    """An output was refused (it exists, it is the input, it is a terminal) or could not be written."""

    exit_code = 5


class LimitError(Sq3Error):
    """Decoding would exceed a memory or size limit."""

    exit_code = 6


class TargetSizeError(LimitError):
    """No codec can describe the asset within the requested number of bytes."""


class VerifyError(Sq3Error):
    """A file decodes, but not to what it promises."""

    exit_code = 7
