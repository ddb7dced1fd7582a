"""Plots of a training run as PNG files: the losses, and latent error over rate."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from squeeze3d.errors import MissingExtraError
from squeeze3d.files import atomic_write
from squeeze3d.training.log import Entry

if TYPE_CHECKING:
    from squeeze3d.training.rates import RateRow


def plot_losses(entries: Sequence[Entry], path: Path) -> None:
    """Reconstruction loss of both splits, and the whole training loss, over steps, on a logarithmic scale.

    Raises MissingExtraError without matplotlib.
    """
    figure, axes = _figure()
    curves = (
        ("train", "loss", "training: all terms", "tab:grey", ":"),
        ("train", "reconstruction", "training: reconstruction", "tab:blue", "-"),
        ("validation", "reconstruction", "validation: reconstruction", "tab:orange", "-"),
    )
    for kind, key, label, colour, style in curves:
        points = [(e["step"], e[key]) for e in entries if e.get("kind") == kind and (e.get(key) or 0) > 0]
        if points:
            marker = "o" if len(points) < 30 else None
            axes.plot(*zip(*points, strict=True), style, color=colour, label=label, marker=marker, markersize=3)
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    _finish(figure, axes, path)


def plot_rates(rows: Sequence[RateRow], unquantised: float, path: Path) -> None:
    """Latent error over measured bytes of a code; the dashed line is the error without quantisation.

    Raises MissingExtraError without matplotlib.
    """
    figure, axes = _figure()
    axes.plot([row.bytes for row in rows], [row.latent_error for row in rows], "o-", label="quantised code")
    axes.axhline(unquantised, color="tab:grey", linestyle="--", label="code not quantised")
    for row in rows:
        axes.annotate(
            f"{row.bits_per_dimension:.2f} bit",
            (row.bytes, row.latent_error),
            textcoords="offset points",
            xytext=(6, 6),
        )
    # Room for the text beside the last point.
    axes.margins(x=0.12)
    axes.set_yscale("log")
    axes.set_xlabel("bytes per code")
    axes.set_ylabel("latent error / variance")
    _finish(figure, axes, path)


def check_plots() -> None:
    """Raise MissingExtraError without matplotlib, before hours are spent on what is to be plotted."""
    if importlib.util.find_spec("matplotlib") is None:
        raise MissingExtraError(
            "plots need matplotlib, which is not installed", hint='install it with `pip install "squeeze3d[train]"`'
        )


def _figure() -> tuple[Any, Any]:
    check_plots()
    # The object interface needs no display and touches no global state.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _finish(figure: Any, axes: Any, path: Path) -> None:
    from matplotlib.ticker import FuncFormatter

    # Losses may stay within one power of ten, which the usual labels of logarithmic axes make hard to read.
    for which in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        which(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(visible=True, which="both", alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    atomic_write(path, buffer.getvalue(), overwrite=True)
