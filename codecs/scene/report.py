"""What moved by how much at most."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

UNITS: Mapping[str, str] = {
    "position": "of the diagonal",
    "morph_position": "of the diagonal",
    "translation": "of the diagonal",
    "normal": "degrees",
    "tangent": "degrees",
    "rotation": "degrees",
    "uv": "of the texture",
    "uv_texels": "texels of the largest texture",
    "time": "seconds",
    "texture_psnr": "dB in the worst texture",
}
"""Units by what is measured; everything else is an absolute difference."""


def describe(errors: Mapping[str, float]) -> str:
    """Errors with their units, for people: `position 9.7e-05 of the diagonal, normal 0.45 degrees`."""
    moved = {key: value for key, value in errors.items() if value and key != "uv_texels"}
    return ", ".join(f"{key.replace('_', ' ')} {value:g} {UNITS.get(key, '')}".rstrip() for key, value in moved.items())


@dataclass
class Fidelity:
    """Largest errors by what they are of."""

    worst: dict[str, float] = field(default_factory=dict)

    def note(self, what: str, error: float) -> None:
        """Remember an error if it is the largest of its kind."""
        self.worst[what] = max(float(error), self.worst.get(what, 0.0))

    def to_json(self) -> dict[str, float]:
        """Figures with three digits."""
        return {key: float(f"{value:.3g}") for key, value in sorted(self.worst.items())}
