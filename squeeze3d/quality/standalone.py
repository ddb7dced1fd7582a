"""What pages that need nothing but themselves have in common: a policy, a style, data inside.

The policy allows the one script and the one style sheet that a page holds, by their hashes, and images inside the page.
"""

from __future__ import annotations

import base64
import hashlib
import html
from importlib import resources
from string import Template

_PACKAGE = "squeeze3d.quality"


def fill(package: str, name: str, **values: object) -> bytes:
    """A page as a UTF-8 file, from templates of a package: `name`.html, .css and .js.

    Parameters
    ----------
    values : HTML of what `name`.html asks for beside `policy`, `style` and `script`.
    """
    style, script = template(_PACKAGE, "base.css") + template(package, f"{name}.css"), template(package, f"{name}.js")
    policy = {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": _hash(style),
        "script-src": _hash(script),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    text = Template(template(package, f"{name}.html")).substitute(
        values,
        policy=html.escape("; ".join(f"{name} {value}" for name, value in policy.items())),
        style=style,
        script=script,
    )
    return text.encode("utf-8", "backslashreplace")


def template(package: str, name: str) -> str:
    """A file of the package's folder `templates`."""
    return resources.files(package).joinpath("templates", name).read_text(encoding="utf-8")


def data_url(data: bytes, mime: str) -> str:
    """A file inside the page."""
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
