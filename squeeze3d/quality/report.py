"""All figures that `sq3d compare` shows: one comparison of two assets, each figure with its meaning.

```text
original ─► Reference ─► views ─┬─► Measurement: the figures the encoder goes by ─┐
other    ─────────────► views ─┘─► FLIP, LPIPS                                   ├─► Comparison
         └────────────────────────► distances between surfaces, or clouds        ┘
```

A figure that cannot be computed here keeps its row, with the reason in place of the number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from squeeze3d.assets.elements import described
from squeeze3d.assets.mesh import Mesh
from squeeze3d.assets.points import PointCloud
from squeeze3d.assets.source import Asset
from squeeze3d.bitstream.limits import format_bytes
from squeeze3d.codecs.spec import Kind
from squeeze3d.errors import InputError, UsageError
from squeeze3d.metrics.results import Unavailable
from squeeze3d.quality.figures import Measurement
from squeeze3d.quality.goal import LEVELS, Goal
from squeeze3d.quality.measure import Reference
from squeeze3d.render import Images

Progress = Callable[[str, float], None]

_ROUNDING = 1e-8
"""Distances below this share of the box diagonal come from rounding: those between a surface and itself do, and
positions are float32."""


def printable(text: str) -> str:
    """A text whose control characters are shown as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two assets."""

    name: str
    """File name to show. Control characters are shown as escapes."""
    asset: Asset = field(repr=False)
    size: int
    """Bytes, side files included; 0 if unknown."""
    codec: str = ""
    """Id of the codec, for .sq3 files."""

    @property
    def title(self) -> str:
        """The name without anything that could steer what shows it."""
        return printable(self.name)

    @property
    def elements(self) -> str:
        """What the asset is made of: `1,204 triangles`."""
        return described(self.asset)

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable keys."""
        return {
            "input": self.name,
            "bytes": self.size,
            "codec": self.codec or None,
            "elements": self.elements.replace(",", ""),
        }


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a comparison."""

    key: str
    """Stable name for scripts."""
    label: str
    """Name for people."""
    meaning: str
    """One line of explanation."""
    value: float | Unavailable
    perfect: float
    """Value for equal assets."""
    unit: str = ""
    digits: int = 4
    note: str = ""
    """What the number depends on: scales, peak."""
    exact: bool = True
    """Whether equal assets always reach `perfect`."""

    @property
    def text(self) -> str:
        """The value with its unit, or why there is none."""
        if isinstance(self.value, Unavailable):
            return str(self.value)
        if math.isinf(self.value):
            return "infinite" if self.value > 0 else "-infinite"
        number = f"{self.value:.{self.digits}f}"
        # Rounding must not turn a small difference into none.
        if self.value != self.perfect and math.isfinite(self.perfect) and float(number) == self.perfect:
            number = f"{self.value:.2g}" if self.perfect == 0 else f"1 - {1 - self.value:.1g}"
        return f"{number} {self.unit}".rstrip()

    @property
    def is_perfect(self) -> bool:
        """Whether it finds no difference."""
        return not isinstance(self.value, Unavailable) and self.value == self.perfect


@dataclass(frozen=True)
class Comparison:
    """Two assets, side by side."""

    original: Side
    other: Side
    kind: Kind
    reference: Reference = field(repr=False)
    """The original, rendered."""
    views: Images = field(repr=False)
    """The other asset from the same cameras."""
    measurement: Measurement
    """What the encoder promises, measured again."""
    figures: tuple[Figure, ...]

    @property
    def ratio(self) -> float | None:
        """Size of the original over that of the other file; None if one is unknown."""
        return self.original.size / self.other.size if self.original.size and self.other.size else None

    @property
    def level(self) -> Goal | None:
        """Best named quality level that is reached."""
        reached = [goal for goal in LEVELS[self.kind].values() if goal.reached(self.measurement)]
        return reached[-1] if reached else None

    @property
    def identical(self) -> bool:
        """Whether no figure that could be computed finds a difference."""
        return all(x.is_perfect for x in self.figures if x.exact and not isinstance(x.value, Unavailable))

    def __getitem__(self, key: str) -> Figure:
        """A figure by its key. Raises KeyError if this kind of asset does not have it."""
        for figure in self.figures:
            if figure.key == key:
                return figure
        raise KeyError(key)

    def __contains__(self, key: str) -> bool:
        return any(figure.key == key for figure in self.figures)

    @property
    def sizes(self) -> str:
        """`1.44 MB, now 30 kB (48:1)`."""
        text = f"{format_bytes(self.original.size)}, now {format_bytes(self.other.size)}"
        return text if self.ratio is None else f"{text} ({format_ratio(self.ratio)})"

    def to_json(self) -> dict[str, Any]:
        """Plain data with stable keys; numbers that are infinite or could not be computed are None."""
        figures = {x.key: x.value for x in self.figures}
        return {
            "kind": str(self.kind),
            "original": self.original.to_json(),
            "other": self.other.to_json(),
            "ratio": None if self.ratio is None else round(self.ratio, 3),
            "level": None if self.level is None else self.level.name,
            "identical": self.identical,
            "rig": {
                "views": len(self.reference.cameras),
                "resolution": self.reference.cameras[0].resolution[0],
                "supersample": self.reference.supersample,
            },
            "metrics": {key: _finite(value) for key, value in figures.items()},
            "units": {x.key: x.unit for x in self.figures if x.unit},
            "notes": {x.key: x.note for x in self.figures if x.note},
            "infinite": [key for key, value in figures.items() if value == math.inf],
            "unavailable": {
                key: {"reason": value.reason, "hint": value.hint}
                for key, value in figures.items()
                if isinstance(value, Unavailable)
            },
        }


def compare(
    original: Side,
    other: Side,
    *,
    reference: Reference | None = None,
    progress: Progress = lambda stage, fraction: None,
) -> Comparison:
    """Measure everything there is to say about two assets of one kind.

    Parameters
    ----------
    reference : of the original, where it is compared more than once.

    Raises UsageError if the kinds differ.
    """
    kind, found = Kind.of(original.asset), Kind.of(other.asset)
    if kind is not found:
        raise UsageError(
            f"`{original.title}` holds a {_NOUNS[kind]}, `{other.title}` a {_NOUNS[found]}",
            hint="compare two assets of one kind",
        )
    progress("render the original", 0.0)
    reference = reference or Reference(original.asset)
    images = reference.images
    progress("render the other", 0.15)
    views = reference.render(other.asset)
    progress("compare the views", 0.3)
    measurement = reference.compare(views, other.asset)
    figures = [*_seen(kind, reference, measurement), *_perceived(images, views, progress)]
    if isinstance(original.asset, Mesh) and isinstance(other.asset, Mesh):
        progress("compare the surfaces", 0.7)
        figures += _surfaces(original.asset, other.asset)
    if isinstance(original.asset, PointCloud) and isinstance(other.asset, PointCloud):
        progress("compare the points", 0.7)
        figures += _clouds(original.asset, other.asset)
    return Comparison(original, other, kind, reference, views, measurement, tuple(figures))


def format_ratio(ratio: float) -> str:
    """`125:1`, `3.4:1`, `0.92:1`."""
    return f"{ratio:.{0 if ratio >= 99.5 else 1 if ratio >= 1 else 2}f}:1"


_NOUNS = {Kind.MESH: "mesh", Kind.POINTS: "point cloud", Kind.FIELD: "radiance field", Kind.SPLATS: "splat scene"}


def _seen(kind: Kind, reference: Reference, measured: Measurement) -> Iterator[Figure]:
    """The figures that the encoder goes by."""
    from squeeze3d.metrics.similarity import scale_count

    size = reference.cameras[0].resolution
    colour = "albedo " if kind is Kind.MESH else ""
    yield Figure(
        "psnr",
        f"{colour}PSNR",
        "Difference of unlit colours over all pixels of all views. 30 dB and more is hard to see.",
        measured.psnr,
        math.inf,
        "dB",
        2,
        f"{len(reference.cameras)} views of {size[1]} x {size[0]}",
    )
    yield Figure(
        "ms_ssim",
        "MS-SSIM",
        "Similarity of structures at several scales; 1 is equal.",
        measured.ms_ssim,
        1.0,
        note=f"{scale_count(*size)} scales",
    )
    if "shaded" in reference.channels:
        yield Figure(
            "shaded_psnr",
            "shaded PSNR",
            "The same under a headlight: sees shape and normals as well as colour.",
            measured.shaded_psnr,
            math.inf,
            "dB",
            2,
        )
    yield Figure(
        "object_psnr",
        "object PSNR",
        "PSNR over the pixels that show the object alone; empty background does not flatter it.",
        measured.object_psnr,
        math.inf,
        "dB",
        2,
    )
    yield Figure("iou", "silhouette IoU", "Overlap of the silhouettes; 1 is equal.", measured.iou, 1.0)


def _perceived(images: Images, views: Images, progress: Progress) -> Iterator[Figure]:
    from squeeze3d.metrics.perceptual import flip, lpips

    def score(metric: Callable[..., Any]) -> float | Unavailable:
        found = metric(images.channel("albedo"), views.channel("albedo"))
        return found if isinstance(found, Unavailable) else float(found.value)

    progress("FLIP", 0.4)
    yield Figure("flip", "FLIP", "Difference seen when flipping between the views; 0 is none.", score(flip), 0.0)
    progress("LPIPS", 0.55)
    yield Figure("lpips", "LPIPS", "Difference to a trained network (AlexNet); 0 is none.", score(lpips), 0.0)


def _surfaces(original: Mesh, other: Mesh) -> Iterator[Figure]:
    from squeeze3d.metrics.surface import SurfaceScores, surface_scores

    scores: SurfaceScores | Unavailable
    try:
        scores = surface_scores(original, other, thresholds=(0.005, 0.01))
    except (UsageError, InputError) as error:
        scores = Unavailable(error.message, error.hint)

    def value(read: Callable[[SurfaceScores], float]) -> float | Unavailable:
        return scores if isinstance(scores, Unavailable) else read(scores)

    def distance(length: float) -> float:
        return 0.0 if length < _ROUNDING else 100 * length

    yield Figure(
        "chamfer_percent",
        "chamfer distance",
        "Mean distance between the surfaces, in both directions, in percent of the box diagonal.",
        value(lambda s: distance(s.chamfer.mean)),
        0.0,
        "%",
    )
    yield Figure(
        "visible_chamfer_percent",
        "visible chamfer",
        "The same over the parts that can be seen from outside.",
        value(lambda s: distance(s.visible_chamfer.mean)),
        0.0,
        "%",
        note="" if isinstance(scores, Unavailable) else f"{100 * scores.visible_share[0]:.0f} % of the original shows",
    )
    for index, (key, percent) in enumerate((("half", "0.5"), ("one", "1"))):
        yield Figure(
            f"f_score_{key}_percent",
            f"F-score at {percent} %",
            f"Share of the surfaces closer to each other than {percent} % of the box diagonal.",
            value(lambda s, index=index: s.f_scores[index].value),  # type: ignore[misc]
            1.0,
        )
    # Rounding leaves the product of a unit vector with itself a little below 1.
    yield Figure(
        "normal_consistency",
        "normal consistency",
        "Agreement of face normals; 1 for parallel surfaces, 0.5 for random ones.",
        value(lambda s: 1.0 if s.normals.value > 1 - _ROUNDING else s.normals.value),
        1.0,
        # Where triangles touch, the nearest one may be the neighbour of the right one.
        exact=False,
    )


def _clouds(original: PointCloud, other: PointCloud) -> Iterator[Figure]:
    import numpy as np

    from squeeze3d.metrics.pcqm import pcqm
    from squeeze3d.metrics.points import compare_points
    from squeeze3d.metrics.pointssim import SQUEEZE3D_PAPER, PointSsimOptions, pointssim

    # The same peak as in `Measurement.d1_psnr`.
    diagonal = max(float(np.linalg.norm(np.diff(original.bounds(), axis=0))), 1e-30)
    found = compare_points(original, other, peak=diagonal)
    errors, peak = found.symmetric, f"peak: box diagonal, {diagonal:.4g}"
    yield Figure("d1_psnr", "D1 PSNR", "Distance from point to point.", errors.d1.psnr, math.inf, "dB", 2, peak)
    yield Figure("d2_psnr", "D2 PSNR", "Distance from point to plane.", errors.d2.psnr, math.inf, "dB", 2, peak)
    colourless = Unavailable(
        f"the {'original' if original.colours is None else 'other'} cloud has no colours",
        "compare clouds with colours",
    )
    for index, name in enumerate("YUV"):
        yield Figure(
            f"colour_psnr_{name.lower()}",
            f"colour PSNR, {name}",
            f"{('Lightness', 'Blueness', 'Redness')[index]} of the nearest points; peak 1.",
            colourless if errors.colour is None else errors.colour.psnr[index],
            math.inf,
            "dB",
            2,
        )

    def attempt(work: Callable[[], float]) -> float | Unavailable:
        try:
            return work()
        except (InputError, UsageError) as error:
            return Unavailable(error.message, error.hint)

    windows: list[float] = []

    def perceived() -> float:
        result = pcqm(original, other)
        windows.append(result.window)
        return result.score

    score = attempt(perceived)
    sparse = ", too sparse for its structure terms" if windows and windows[0] < 40 else ""
    yield Figure(
        "pcqm",
        "PCQM",
        "Perceptual difference of shape and lightness; 0 is none.",
        score,
        0.0,
        note=f"radius 0.004, {windows[0]:.0f} points a window{sparse}" if windows else "",
        digits=5,
    )
    for key, label, options in (
        ("pointssim_geometry", "PointSSIM, geometry", SQUEEZE3D_PAPER),
        ("pointssim_colour", "PointSSIM, colour", PointSsimOptions()),
    ):
        yield Figure(
            key,
            label,
            "Similarity of neighbourhoods; 1 is equal.",
            attempt(lambda options=options: pointssim(original, other, options).symmetric),  # type: ignore[misc]
            1.0,
            note=f"{options.estimator}, {options.pooling}, {options.neighbours} neighbours",
        )


def _finite(value: float | Unavailable) -> float | None:
    return None if isinstance(value, Unavailable) or not math.isfinite(value) else round(float(value), 9)
