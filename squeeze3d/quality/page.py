"""One HTML page to look at a comparison: both models in 3D, the figures, the contact sheet.

The page needs nothing but itself: no network, no server, no library. Its security policy allows the one script and the
one style sheet that it holds, by their hashes, and images inside the page; a file name that holds markup is text.
"""

from __future__ import annotations

import base64
import html
import io
import json
from typing import TYPE_CHECKING

from squeeze3d._version import __version__
from squeeze3d.bitstream.limits import format_bytes
from squeeze3d.codecs.spec import Kind
from squeeze3d.metrics.results import Unavailable
from squeeze3d.quality import buffers
from squeeze3d.quality.buffers import Frame, Model, model
from squeeze3d.quality.report import Comparison, Figure, Side, format_ratio
from squeeze3d.quality.sheet import draw_sheet
from squeeze3d.quality.standalone import data_url, fill
from squeeze3d.render.mesh import AMBIENT, HEADLIGHT

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage


def page(comparison: Comparison) -> bytes:
    """The page as a UTF-8 file."""
    original, other = comparison.original, comparison.other
    frame = Frame.of(original.asset.bounds())
    models = {
        "left": model(original.asset, frame, original.asset),
        "right": model(other.asset, frame, original.asset),
    }
    sheet = draw_sheet(comparison)
    settings = {
        "light": [AMBIENT, HEADLIGHT],
        "yaw": buffers.YAW,
        "pitch": buffers.PITCH,
        "fov": buffers.FOV,
        "target": models["left"].start[0],
        "reach": models["left"].start[1],
    }
    return fill(
        "squeeze3d.quality",
        "page",
        title=html.escape(f"{original.title} and {other.title}"),
        original=html.escape(original.title),
        other=html.escape(other.title),
        facts="\n".join(_facts(comparison)),
        shading=" hidden" if comparison.kind is Kind.SPLATS else "",
        **_first_look(comparison.kind),
        panes="\n".join(
            _pane(name, heading, side, models[name])
            for name, heading, side in (
                ("left", "Original", original),
                ("right", "Decoded" if other.codec else "Other", other),
            )
        ),
        rows="\n".join(_row(figure) for figure in comparison.figures),
        sheet=_picture(sheet),
        width=sheet.width,
        height=sheet.height,
        alt="Four views of the original, the other asset and their difference.",
        footer=html.escape(_footer(comparison)),
        models="\n".join([_data("settings", settings), *(_embedded(name, each) for name, each in models.items())]),
    )


def _first_look(kind: Kind) -> dict[str, str]:
    """Which of the two radio buttons is on. Fields are mostly of one colour, and show nothing without light."""
    first = "shaded" if kind is Kind.FIELD else "albedo"
    return {look: " checked" if look == first else "" for look in ("albedo", "shaded")}


def _picture(picture: PilImage) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return data_url(buffer.getvalue(), "image/png")


def _facts(comparison: Comparison) -> list[str]:
    original, other, ratio = comparison.original, comparison.other, comparison.ratio
    facts = [f"{format_bytes(original.size)} \N{RIGHTWARDS ARROW} {format_bytes(other.size)}"]
    if ratio is not None:
        facts.append(format_ratio(ratio))
    rest = [other.codec] if other.codec else []
    if comparison.identical:
        rest.append("no difference found")
    elif comparison.level is not None:
        rest.append(f"quality level: {comparison.level.name}")
    return [f'<span class="main">{html.escape(fact)}</span>' for fact in facts] + [
        f"<span>{html.escape(fact)}</span>" for fact in rest
    ]


def _pane(name: str, heading: str, side: Side, shown: Model) -> str:
    facts = [side.elements, *([format_bytes(side.size)] if side.size else []), *([side.codec] if side.codec else [])]
    remarks = "; ".join([*facts, *shown.remarks])
    label = html.escape(f"{heading}: {side.title}, interactive 3D view")
    return (
        f'<figure id="{name}"><canvas tabindex="0" role="application" aria-label="{label}"></canvas>'
        f"<figcaption><b>{heading}</b> <bdi>{html.escape(side.title)}</bdi>"
        f'<br><span class="soft">{html.escape(remarks)}</span></figcaption></figure>'
    )


def _row(figure: Figure) -> str:
    missing = isinstance(figure.value, Unavailable)
    value = "unavailable" if missing else html.escape(figure.text)
    meaning = [figure.meaning, *([figure.note[:1].upper() + figure.note[1:] + "."] if figure.note else [])]
    if isinstance(figure.value, Unavailable):
        meaning.append(f"Not computed: {figure.value.reason}.")
    return (
        f'<tr><th scope="row">{html.escape(figure.label)}</th>'
        f'<td class="number{" missing" if missing else ""}">{value}</td><td>{html.escape(" ".join(meaning))}</td></tr>'
    )


def _footer(comparison: Comparison) -> str:
    cameras = comparison.reference.cameras
    height, width = cameras[0].resolution
    return (
        f"Made by squeeze3d {__version__}. Image figures are from {len(cameras)} views of {width} x {height} pixels, "
        "framed by the original's box. The 3D view is for looking; no figure comes from it."
    )


def _data(name: str, value: object) -> str:
    # `<` cannot end the element early, whatever the value holds.
    text = json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _embedded(name: str, shown: Model) -> str:
    block = base64.b64encode(shown.block).decode()
    return f'{_data(f"{name}-header", shown.header)}\n<script type="text/plain" id="{name}-block">{block}</script>'
