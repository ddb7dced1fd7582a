"""Codec parameters as msgpack, read strictly and within bounds.

Each value has one spelling: the shortest form of every type, 64-bit floats, sorted keys. Reading refuses all
others.
"""

from __future__ import annotations

from typing import Any

import msgpack

from squeeze3d.errors import FormatError

MAX_BYTES = 1 << 20
"""Parameters are small; bulk data has its own chunks."""
MAX_ITEMS = 1 << 16
"""Most items of one list or map."""
MAX_DEPTH = 16
"""Most lists and maps around a value."""


def pack_parameters(value: Any) -> bytes:
    """Encode None, bool, int, float, str, bytes, list and dict with str or int keys, always the same way.

    Raises TypeError for other types, ValueError for what exceeds the limits above; OverflowError for integers
    of more than 64 bits.
    """
    data: bytes = msgpack.packb(_plain(value, 0), use_bin_type=True)
    if len(data) > MAX_BYTES:
        raise ValueError(f"parameters take {len(data)} bytes, more than {MAX_BYTES}")
    return data


def unpack_parameters(data: bytes) -> Any:
    """Decode what `pack_parameters` wrote; lists come back as lists.

    Raises FormatError for anything else: broken msgpack, trailing bytes, keys that are repeated, out of order
    or neither text nor integer, extension types, spellings that are not the shortest, deep nesting, more than
    1 MiB.
    """
    if len(data) > MAX_BYTES:
        raise FormatError(f"parameters take {len(data)} bytes, more than {MAX_BYTES}")
    try:
        value = msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=False,
            object_pairs_hook=_unique,
            ext_hook=_no_extensions,
            max_str_len=MAX_BYTES,
            max_bin_len=MAX_BYTES,
            # An item takes a byte or more; without this, nested headers alone could claim much memory.
            max_array_len=min(MAX_ITEMS, len(data)),
            max_map_len=min(MAX_ITEMS, len(data)),
            max_ext_len=0,
        )
        if pack_parameters(value) != data:
            raise FormatError("parameters are not in their shortest, sorted spelling")
        return value
    except FormatError:
        raise
    except Exception as error:  # msgpack raises a dozen types, from ValueError to StackError
        raise FormatError(f"parameters are not valid msgpack: {error or type(error).__name__}") from None


def _plain(value: Any, depth: int) -> Any:
    """The value with sorted keys, checked."""
    if isinstance(value, dict | list | tuple):
        if depth == MAX_DEPTH:
            raise ValueError(f"parameters are nested more than {MAX_DEPTH} deep")
        if len(value) > MAX_ITEMS:
            raise ValueError(f"parameters hold {len(value)} items, more than {MAX_ITEMS}")
        if not isinstance(value, dict):
            return [_plain(item, depth + 1) for item in value]
        if any(not isinstance(key, str | int) or isinstance(key, bool) for key in value):
            raise TypeError("keys of parameters must be text or integers")
        return {key: _plain(value[key], depth + 1) for key in sorted(value)}
    if not isinstance(value, bool | int | float | str | bytes | None):
        raise TypeError(f"parameters cannot hold {type(value).__name__}")
    return value


def _unique(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    for key, value in pairs:
        if type(key) not in (str, int):
            raise FormatError(f"parameters use a key of type {type(key).__name__}")
        if key in result:
            raise FormatError(f"parameters hold the key `{key}` twice")
        result[key] = value
    return result


def _no_extensions(code: int, data: bytes) -> Any:
    raise FormatError(f"parameters use the msgpack extension {code}")
