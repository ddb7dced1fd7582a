"""Loss report: what a reader, a codec or a writer could not keep.

Nothing is dropped without an entry here. Readers report features of the file that the asset types cannot hold
(skins, animations), codecs report what they leave out (normal maps, names), writers report what the output format
cannot express (two UV sets in an OBJ file).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Stage = Literal["read", "encode", "write"]


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that is not kept."""

    feature: str
    """Stable name in kebab-case, for scripts: `animation`, `skin`, `normal-map`, `missing-texture` ..."""
    detail: str
    """One line for people, with counts and names: `2 animations (Walk, Run)`."""
    stage: Stage = "read"
    """Which step drops it."""
    warning: bool = False
    """True where the input itself is faulty (a texture file is missing), not only richer than the output."""


class LossReport:
    """An ordered collection of losses without repetitions."""

    def __init__(self, losses: Iterable[Loss] = ()) -> None:
        self._losses: dict[Loss, None] = dict.fromkeys(losses)

    def add(self, feature: str, detail: str, *, stage: Stage = "read", warning: bool = False) -> None:
        """Record one loss; the same loss twice counts once."""
        self._losses[Loss(feature, detail, stage, warning)] = None

    def extend(self, other: Iterable[Loss]) -> None:
        """Append all losses of another report."""
        for loss in other:
            self._losses[loss] = None

    def __iter__(self) -> Iterator[Loss]:
        return iter(self._losses)

    def __len__(self) -> int:
        return len(self._losses)

    def __repr__(self) -> str:
        return f"LossReport({list(self._losses)!r})"

    def to_json(self) -> list[dict[str, object]]:
        """Plain data with stable keys `feature`, `detail`, `stage`, `warning`."""
        return [
            {"feature": x.feature, "detail": x.detail, "stage": x.stage, "warning": x.warning} for x in self._losses
        ]
