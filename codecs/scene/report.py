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
    "texture_psnr": "dB of the worst texture",
}
"""Units by what is measured; everything else is an absolute difference."""


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
