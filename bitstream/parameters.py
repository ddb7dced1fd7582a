"""Codec parameters as msgpack, read strictly and within bounds."""

from __future__ import annotations

from typing import Any

import msgpack

from squeeze3d.errors import FormatError

MAX_BYTES = 1 << 20
"""Parameters are small; bulk data has its own chunks."""


def pack_parameters(value: Any) -> bytes:
    """Encode plain data (None, bool, int, float, str, bytes, list, dict with sorted keys) deterministically."""
    data: bytes = msgpack.packb(_sorted(value), use_bin_type=True)
    if len(data) > MAX_BYTES:
        raise ValueError("parameters are too large")
    return data


def unpack_parameters(data: bytes) -> Any:
    """Decode what `pack_parameters` wrote; lists come back as lists.

    Raises FormatError for anything else: broken msgpack, trailing bytes, duplicate or non-scalar keys, extension
    types, more than 1 MiB.
    """
    if len(data) > MAX_BYTES:
        raise FormatError(f"parameters take {len(data)} bytes, more than {MAX_BYTES}")
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=False,
            object_pairs_hook=_unique,
            ext_hook=_no_extensions,
            max_str_len=MAX_BYTES,
            max_bin_len=MAX_BYTES,
            max_array_len=1 << 16,
            max_map_len=1 << 12,
            max_ext_len=0,
        )
    except FormatError:
        raise
    except Exception as error:  # msgpack raises a dozen types, from ValueError to StackError
        raise FormatError(f"parameters are not valid msgpack: {error or type(error).__name__}") from None


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value


def _unique(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    for key, value in pairs:
        if not isinstance(key, str | int) or isinstance(key, bool):
            raise FormatError(f"parameters use a key of type {type(key).__name__}")
        if key in result:
            raise FormatError(f"parameters hold the key `{key}` twice")
        result[key] = value
    return result


def _no_extensions(code: int, data: bytes) -> Any:
    raise FormatError(f"parameters use the msgpack extension {code}")
