"""What a glTF file holds that our asset types do not.

Two sources: `Tally` collects small things met while reading (tangents on 40 primitives become one line), and
`report_document` looks once over the whole JSON for features that are never read (animations, cameras ...).
"""

from __future__ import annotations

from collections.abc import Iterable

from squeeze3d.assets.gltf_compression import DRACO, MESHOPT
from squeeze3d.assets.gltf_container import Document
from squeeze3d.assets.gltf_json import Item, printable
from squeeze3d.assets.loss import LossReport
from squeeze3d.errors import UnsupportedError

READ_EXTENSIONS = frozenset(
    {
        DRACO,
        *MESHOPT,
        "EXT_mesh_gpu_instancing",
        "EXT_texture_avif",
        "EXT_texture_webp",
        "KHR_materials_emissive_strength",
        "KHR_materials_pbrSpecularGlossiness",
        "KHR_materials_unlit",
        "KHR_mesh_quantization",
        "KHR_texture_transform",
    }
)
"""Extensions whose meaning is kept, or reported where it is converted."""

_REPORTED_EXTENSIONS = frozenset({"KHR_lights_punctual", "KHR_materials_variants", "KHR_texture_basisu"})
"""Extensions that are dropped with an entry of their own."""

_OPTIONAL_EXTENSIONS = frozenset(
    {
        "KHR_animation_pointer",
        "KHR_materials_anisotropy",
        "KHR_materials_clearcoat",
        "KHR_materials_diffuse_transmission",
        "KHR_materials_dispersion",
        "KHR_materials_ior",
        "KHR_materials_iridescence",
        "KHR_materials_sheen",
        "KHR_materials_specular",
        "KHR_materials_transmission",
        "KHR_materials_volume",
        "KHR_xmp_json_ld",
    }
)
"""Extensions that only add to the look or the bookkeeping; files that require them are read without them."""

_MATERIAL_EXTENSIONS = frozenset(
    {"KHR_materials_emissive_strength", "KHR_materials_pbrSpecularGlossiness", "KHR_materials_unlit"}
)
_SHOWN_NAMES = 5


def named(names: Iterable[str]) -> str:
    """Names in brackets for a report line, shortened: ` (Walk, Run, 3 more)`; empty if there are none."""
    unique = list(dict.fromkeys(printable(x)[:40] for x in names if x))
    if not unique:
        return ""
    shown = unique[:_SHOWN_NAMES]
    if len(unique) > len(shown):
        shown.append(f"{len(unique) - len(shown)} more")
    return f" ({', '.join(shown)})"


def counted(number: int, noun: str) -> str:
    """`1 mesh`, `2 meshes`: the count with its noun in the right form."""
    plural = noun + ("es" if noun.endswith(("sh", "s", "x")) else "s")
    return f"{number} {noun if number == 1 else plural}"


class Tally:
    """Counts what is left out while reading, so that the report has one line per feature and kind."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str, bool], list[str]] = {}

    def note(self, feature: str, text: str, noun: str, name: str = "", *, warning: bool = False) -> None:
        """Record that `text` is lost on one more `noun`, called `name`."""
        self._found.setdefault((feature, text, noun, warning), []).append(name)

    def report(self, losses: LossReport) -> None:
        """Write one entry per kind: `tangents on 2 primitives (Head, Hand)`."""
        for (feature, text, noun, warning), names in self._found.items():
            losses.add(feature, f"{text} on {counted(len(names), noun)}{named(names)}", warning=warning)


def check_required_extensions(document: Document) -> None:
    """Refuse a file that cannot be shown correctly without an extension we do not know."""
    known = READ_EXTENSIONS | _REPORTED_EXTENSIONS | _OPTIONAL_EXTENSIONS
    unknown = [name for name in document.root.texts("extensionsRequired") if name not in known]
    if unknown:
        raise UnsupportedError(
            f"{document.root.where} requires glTF extension{named(unknown)}, which is not supported",
            hint="export the asset without it",
        )


def report_document(document: Document, scene: int | None, losses: LossReport) -> None:
    """Report the features that are visible in the JSON alone; `scene` is the scene that is read."""
    _report_array(document.array("animations"), "animation", "animation", losses)
    _report_array(document.array("cameras"), "camera", "camera", losses)
    lights = document.root.extension("KHR_lights_punctual")
    if lights is not None:
        _report_array(lights.items("lights"), "light", "light", losses)
    _report_array(document.array("skins"), "skin", "skin", losses, "; the mesh is kept in its rest pose")
    others = [item for index, item in enumerate(document.array("scenes")) if index != scene]
    _report_array(others, "scene", "other scene", losses)
    _report_morph_targets(document, losses)
    variants = document.root.extension("KHR_materials_variants")
    if variants is not None:
        _report_array(variants.items("variants"), "material-variants", "material variant", losses)
    _report_extensions(document, losses)
    _report_extras(document, losses)
    asset = document.root.child("asset")
    if asset is not None and asset.text("copyright"):
        losses.add("copyright", f"copyright notice ({printable(asset.text('copyright'))[:200]})")


def _report_array(items: list[Item], feature: str, noun: str, losses: LossReport, suffix: str = "") -> None:
    if items:
        names = named(item.text("name") for item in items)
        losses.add(feature, f"{counted(len(items), noun)}{names}{suffix}")


def _report_morph_targets(document: Document, losses: LossReport) -> None:
    names, total = [], 0
    for mesh in document.array("meshes"):
        count = max((len(primitive.items("targets")) for primitive in mesh.items("primitives")), default=0)
        if count:
            names.append(mesh.text("name"))
            total += count
    if total:
        detail = f"{counted(total, 'morph target')} on {counted(len(names), 'mesh')}{named(names)}"
        losses.add("morph-target", f"{detail}; the default weights are applied")


def _report_extensions(document: Document, losses: LossReport) -> None:
    users: dict[str, list[str]] = {}
    for material in document.array("materials"):
        for extension in material.extension_names():
            if extension not in _MATERIAL_EXTENSIONS:
                users.setdefault(extension, []).append(material.text("name"))
    for extension, names in users.items():
        detail = f"{printable(extension)[:60]} on {counted(len(names), 'material')}{named(names)}"
        losses.add("material-extension", detail)
    handled = READ_EXTENSIONS | _REPORTED_EXTENSIONS | users.keys()
    for extension in dict.fromkeys(document.root.texts("extensionsUsed")):
        if extension not in handled:
            losses.add("extension", f"{printable(extension)[:60]} is not understood and ignored")


def _report_extras(document: Document, losses: LossReport) -> None:
    """Count objects with application data; walks the tree without recursion."""
    counts: dict[str, int] = {}
    pending: list[tuple[str, object]] = [("file", document.root.data)]
    while pending:
        kind, value = pending.pop()
        if isinstance(value, dict):
            if value.get("extras"):
                counts[kind] = counts.get(kind, 0) + 1
            # Inside the top-level arrays the array's name says best what carries the extras.
            for key, inner in value.items():
                if key != "extras":
                    pending.append((key if kind == "file" else kind, inner))
        elif isinstance(value, list):
            pending.extend((kind, inner) for inner in value if isinstance(inner, dict | list))
    if counts:
        places = ", ".join(f"{number} in {printable(kind)[:40]}" for kind, number in sorted(counts.items()))
        losses.add("extras", f"application data (extras): {places}")
