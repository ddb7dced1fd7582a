"""Untrusted JSON, read by asking for a type.

A glTF file is a tree of JSON objects that anybody may have written. `Item` wraps one object and remembers
where it sits, so that every value of the wrong type or range ends in one `FormatError` that names the place:

```text
accessor 3 of `chair.glb`: `count` must be a whole number >= 0, not "many"
```
"""

from __future__ import annotations

import math
from typing import Any

from squeeze3d.errors import FormatError

_SINGULAR = {
    "accessors": "accessor",
    "animations": "animation",
    "bufferViews": "buffer view",
    "buffers": "buffer",
    "cameras": "camera",
    "images": "image",
    "lights": "light",
    "materials": "material",
    "meshes": "mesh",
    "nodes": "node",
    "primitives": "primitive",
    "samplers": "sampler",
    "scenes": "scene",
    "skins": "skin",
    "targets": "morph target",
    "textures": "texture",
    "variants": "variant",
}

MAX_INTEGER = (1 << 53) - 1
"""Largest whole number JSON carries safely; also keeps size arithmetic far from surprises."""


def describe(value: object) -> str:
    """A short, single-line rendering of a JSON value for messages; never recurses into it."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value) if not isinstance(value, str) else '"' + printable(value) + '"'
    return text if len(text) <= 40 else text[:37] + "..."


def printable(text: str) -> str:
    """Text without control characters or broken surrogates, safe for terminals and reports."""
    return "".join(c if c.isprintable() else "?" for c in text)


def unicode_text(text: str) -> str:
    """Replace lone surrogates, which JSON can carry but UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")


class Item:
    """One JSON object of the file, with typed access to its members.

    Every method raises FormatError when the member is missing (and has no default) or has the wrong type or
    range.
    """

    __slots__ = ("_label", "_parent", "data")

    def __init__(self, data: dict[str, Any], label: str, parent: Item | None = None) -> None:
        self.data = data
        self._label = label
        self._parent = parent

    @property
    def where(self) -> str:
        """Path for messages, innermost first: "primitive 0 of mesh 2 of `chair.glb`"."""
        # Built on demand: large files have 100,000 items and no errors.
        parts: list[str] = []
        item: Item | None = self
        while item is not None:
            parts.append(item._label)
            item = item._parent
        return " of ".join(parts)

    def __contains__(self, key: str) -> bool:
        return key in self.data

    def error(self, text: str) -> FormatError:
        """A FormatError about this object; the caller raises it."""
        return FormatError(f"{self.where}: {text}")

    def _expected(self, key: str, what: str) -> FormatError:
        if key not in self.data:
            return self.error(f"`{key}` is missing")
        return self.error(f"`{key}` must be {what}, not {describe(self.data[key])}")

    def integer(self, key: str, default: int | None = None, *, low: int = 0) -> int:
        """A whole number >= `low`; 3.0 counts as 3, true does not count as 1."""
        value = self.data.get(key, default)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is not int or not low <= value <= MAX_INTEGER:
            raise self._expected(key, f"a whole number >= {low}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A finite number."""
        value = _finite(self.data.get(key, default))
        if value is None:
            raise self._expected(key, "a finite number")
        return value

    def numbers(self, key: str, count: int, default: tuple[float, ...] | None = None) -> tuple[float, ...]:
        """A list of exactly `count` finite numbers."""
        if default is not None and key not in self.data:
            return default
        value = self.data.get(key)
        if isinstance(value, list) and len(value) == count:
            numbers = [_finite(x) for x in value]
            if None not in numbers:
                return tuple(x for x in numbers if x is not None)
        raise self._expected(key, f"a list of {count} finite numbers")

    def weights(self, key: str) -> tuple[float, ...]:
        """A list of finite numbers of any length; empty when missing."""
        value = self.data.get(key, [])
        return self.numbers(key, len(value), ()) if isinstance(value, list) else self.numbers(key, 0)

    def text(self, key: str, default: str | None = "") -> str:
        """A string; `default=None` makes it required."""
        value = self.data.get(key, default)
        if not isinstance(value, str):
            raise self._expected(key, "text")
        return unicode_text(value)

    def flag(self, key: str) -> bool:
        """A boolean; false when missing."""
        value = self.data.get(key, False)
        if not isinstance(value, bool):
            raise self._expected(key, "true or false")
        return value

    def child(self, key: str) -> Item | None:
        """An object, or None when missing."""
        if key not in self.data:
            return None
        value = self.data[key]
        if not isinstance(value, dict):
            raise self._expected(key, "an object")
        return Item(value, f"`{key}`", self)

    def items(self, key: str) -> list[Item]:
        """A list of objects; empty when missing."""
        value = self.data.get(key, [])
        if not isinstance(value, list):
            raise self._expected(key, "a list")
        label = _SINGULAR.get(key, key)
        for index, element in enumerate(value):
            if not isinstance(element, dict):
                raise self.error(f"{label} {index} must be an object, not {describe(element)}")
        return [Item(element, f"{label} {index}", self) for index, element in enumerate(value)]

    def indices(self, key: str) -> list[int]:
        """A list of whole numbers >= 0; empty when missing."""
        value = self.data.get(key, [])
        if not isinstance(value, list) or not all(type(x) is int and 0 <= x <= MAX_INTEGER for x in value):
            raise self._expected(key, "a list of whole numbers >= 0")
        return value

    def texts(self, key: str) -> list[str]:
        """A list of strings; empty when missing."""
        value = self.data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(x, str) for x in value):
            raise self._expected(key, "a list of texts")
        return value

    def extension(self, name: str) -> Item | None:
        """The object of one extension, or None."""
        extensions = self.child("extensions")
        return None if extensions is None else extensions.child(name)

    def extension_names(self) -> list[str]:
        """Names of all extensions on this object, in file order."""
        extensions = self.child("extensions")
        return [] if extensions is None else list(extensions.data)


def _finite(value: object) -> float | None:
    """The value as a finite float, or None if it is not one."""
    if type(value) is int or type(value) is float:
        try:
            number = float(value)
        except OverflowError:
            return None
        if math.isfinite(number):
            return number
    return None
