"""Numbers in text files: bytes to arrays and back, with errors that name the place."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze3d.errors import FormatError

_PIECE = 1 << 22


def decode_text(data: bytes) -> str:
    """Names in old files come in any encoding: UTF-8 if it fits, else Latin-1."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def shown(token: bytes) -> str:
    """A token as error messages print it: short and printable."""
    text = token[:20].decode("ascii", "replace")
    return "".join(c if c.isprintable() else "?" for c in text) + ("..." if len(token) > 20 else "")


def parse_floats(tokens: list[bytes]) -> NDArray[np.float64]:
    """Convert tokens to float64.

    Raises ValueError for a token that is no number; `first_bad_float` finds it.
    """
    return np.fromiter(map(float, tokens), dtype=np.float64, count=len(tokens))


def parse_integers(text: bytes) -> NDArray[np.int64]:
    """Convert blank-separated integers, three times as fast as word by word; ValueError for anything else.

    Numbers beyond 64 bits come out as the largest one.
    """
    with warnings.catch_warnings():
        # NumPy stops at the first word that is no number; up to version 2 it only warns about that.
        warnings.simplefilter("error", DeprecationWarning)
        try:
            return np.fromstring(text, dtype=np.int64, sep=" ")
        except DeprecationWarning:
            raise ValueError("not an integer") from None


def first_bad_float(tokens: Iterable[bytes]) -> tuple[int, bytes]:
    """Position and text of the first token that is no number."""
    for position, token in enumerate(tokens):
        try:
            float(token)
        except ValueError:
            return position, token
    raise AssertionError("all tokens are numbers")


def parse_number_text(text: bytes, what: str) -> NDArray[np.float64]:
    """All numbers of a text that holds nothing else.

    Works in pieces, because a list of tokens needs ten times the memory of the text.
    """
    return np.concatenate([np.empty(0), *(_parse_piece(piece, what) for piece in _pieces(text))])


def _parse_piece(piece: bytes, what: str) -> NDArray[np.float64]:
    tokens = piece.split()
    try:
        return parse_floats(tokens)
    except ValueError:
        _, token = first_bad_float(tokens)
        raise FormatError(f"{what}: `{shown(token)}` is not a number") from None


def _pieces(text: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(text):
        end = min(start + _PIECE, len(text))
        while end < len(text) and not text[end : end + 1].isspace():
            end += 1
        yield text[start:end]
        start = end


def format_rows(keyword: str, values: NDArray[Any]) -> str:
    """One text line per row: the keyword and the shortest digits that read back as the same float32."""
    columns = values.shape[1]
    if len(values) == 0:
        return ""
    # + 0 turns -0 into 0, which reads better and means the same.
    digits = (values.astype(np.float32) + np.float32(0)).astype("S16").tolist()
    lines = (b" ".join(row) for row in digits)
    prefix = f"{keyword} ".encode() if keyword else b""
    assert columns > 0
    return b"".join(prefix + line + b"\n" for line in lines).decode("ascii")
