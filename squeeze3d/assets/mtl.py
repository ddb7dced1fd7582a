"""Wavefront MTL: materials of OBJ files.

MTL describes Blinn-Phong shading, our materials are metallic-roughness:

```text
Kd, map_Kd            base colour; as display (sRGB) values, because that is what modelling programs show in
the picker d, Tr                 alpha of the base colour; below 1 means blending Ke, map_Ke
emissive, sRGB too Ns                    roughness = (2 / (Ns + 2)) ** 0.25: the GGX lobe as wide as the
Blinn-Phong one Pr, Pm                roughness and metallic of the PBR extension; win over Ns norm
normal map.  `bump` and `map_Bump` are height maps and are reported as lost illum 0               unlit -s,
-o, -clamp        scale, offset and wrapping of a texture
```

Everything else is reported, not kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from squeeze3d.assets.colour import linear_to_srgb, srgb_to_linear
from squeeze3d.assets.flatten import SideImages
from squeeze3d.assets.image import Image, Texture, TextureTransform, Wrap
from squeeze3d.assets.loss import LossReport
from squeeze3d.assets.mesh import Material
from squeeze3d.assets.number_text import decode_text
from squeeze3d.assets.source import Source

_OPTION_VALUES = {
    "-blendu": 1, "-blendv": 1, "-boost": 1, "-mm": 2, "-o": 3, "-s": 3, "-t": 3, "-texres": 1, "-clamp": 1,
    "-bm": 1, "-imfchan": 1, "-type": 1, "-cc": 1, "-colorspace": 1,
}  # fmt: skip
"""How many values the options of a texture statement take, at most."""

_UNDERSTOOD = {
    "kd",
    "d",
    "tr",
    "ke",
    "ns",
    "pr",
    "pm",
    "illum",
    "map_kd",
    "map_ke",
    "norm",
    "map_kn",
    "map_d",
}


def plain_material(name: str) -> Material:
    """What a name without a definition stands for: white, rough, no metal."""
    return Material(name=name, metallic=0.0, roughness=1.0)


@dataclass
class MaterialLibrary:
    """Materials of all `.mtl` files an OBJ file names."""

    source: Source
    losses: LossReport
    _statements: dict[str, dict[str, str]] = field(default_factory=dict)
    _images: dict[str, Image | None] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self._statements

    @property
    def names(self) -> tuple[str, ...]:
        """All defined materials."""
        return tuple(self._statements)

    def add_files(self, names: str) -> None:
        """Read what a `mtllib` statement names: one file with blanks in its name, or several files."""
        data = self.source.side_file(names)
        if data is not None:
            self._parse(data)
            return
        for name in names.split():
            data = self.source.side_file(name) or self.source.side_file(_base_name(name))
            if data is None:
                self.losses.add("missing-material-file", f"material file `{name}` is missing", warning=True)
            else:
                self._parse(data)

    def _parse(self, data: bytes) -> None:
        current: dict[str, str] | None = None
        for line in decode_text(data).splitlines():
            words = line.split(None, 1)
            if not words or words[0].startswith("#"):
                continue
            keyword, rest = words[0].lower(), words[1].strip() if len(words) > 1 else ""
            if keyword == "newmtl":
                current = self._statements.setdefault(rest, {})
            elif current is not None:
                current[keyword] = rest

    def material(self, name: str) -> Material:
        """Translate one material; reports a name nobody defines."""
        if name not in self._statements:
            self.losses.add("missing-material", f"material `{name}` is not defined", warning=True)
            return plain_material(name)
        statements = self._statements[name]
        self._report_rest(name, statements)
        base_texture = self._texture(statements, "map_kd")
        colour = self._colour(statements, "kd", (1.0, 1.0, 1.0))
        if base_texture is not None and not any(colour):
            # Exporters that keep the colour in the texture write Kd 0 0 0; taken literally the object is
            # black.
            colour = (1.0, 1.0, 1.0)
        alpha = self._alpha(statements)
        blends = alpha < 1.0 or ("map_d" in statements and self._alpha_is_in_base(name, statements))
        emissive_texture = self._texture(statements, "map_ke")
        emissive = self._colour(statements, "ke", (0.0, 0.0, 0.0))
        if emissive_texture is not None and not any(emissive):
            emissive = (1.0, 1.0, 1.0)
        roughness = self._number(statements, "pr")
        if roughness is None:
            shininess = max(self._number(statements, "ns") or 0.0, 0.0)
            roughness = (2.0 / (shininess + 2.0)) ** 0.25
        return Material(
            name=name,
            base_colour=(*colour, alpha),
            base_colour_texture=base_texture,
            metallic=_unit(self._number(statements, "pm") or 0.0),
            roughness=_unit(roughness),
            normal_texture=self._texture(statements, "norm") or self._texture(statements, "map_kn"),
            emissive=emissive,
            emissive_texture=emissive_texture,
            alpha_mode="BLEND" if blends else "OPAQUE",
            unlit=statements.get("illum") == "0",
        )

    def _report_rest(self, name: str, statements: dict[str, str]) -> None:
        rest = sorted(set(statements) - _UNDERSTOOD)
        for keyword in [k for k in rest if k.endswith("bump")]:
            rest.remove(keyword)
            self.losses.add("bump-map", f"height map of material `{name}`")
        if rest:
            self.losses.add("material-statements", f"material `{name}`: {', '.join(rest)}")

    def _alpha(self, statements: dict[str, str]) -> float:
        opacity = self._number(statements, "d")
        if opacity is None:
            transparency = self._number(statements, "tr")
            opacity = 1.0 if transparency is None else 1.0 - transparency
        return _unit(opacity)

    def _alpha_is_in_base(self, name: str, statements: dict[str, str]) -> bool:
        same = _texture_words(statements["map_d"])[1] == _texture_words(statements.get("map_kd", ""))[1]
        if not same:
            self.losses.add("opacity-map", f"opacity map of material `{name}`: not part of the base colour texture")
        return same

    def _number(self, statements: dict[str, str], keyword: str) -> float | None:
        words = statements.get(keyword, "").replace("-halo", "").split()
        if not words:
            return None
        try:
            value = float(words[0])
        except ValueError:
            value = float("nan")
        if not np.isfinite(value):
            self.losses.add("material-value", f"`{keyword} {words[0][:20]}` in a material file", warning=True)
            return None
        return value

    def _colour(
        self, statements: dict[str, str], keyword: str, default: tuple[float, float, float]
    ) -> tuple[float, float, float]:
        words = statements.get(keyword, "").split()[:3]
        if not words:
            return default
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = [float("nan")]
        if not np.isfinite(values).all():
            self.losses.add("material-value", f"`{keyword} {' '.join(words)[:40]}` in a material file", warning=True)
            return default
        # One value means grey; the MTL specification says so.
        display = (values * 3)[:3] if len(values) < 3 else values
        red, green, blue = (float(x) for x in srgb_to_linear(np.array(display)))
        return red, green, blue

    def _texture(self, statements: dict[str, str], keyword: str) -> Texture | None:
        if not statements.get(keyword):
            return None
        options, name = _texture_words(statements[keyword])
        image = self._image(name)
        if image is None:
            return None
        other = sorted(set(options) - {"-s", "-o", "-clamp"})
        if other:
            self.losses.add("texture-options", f"options {', '.join(other)} of texture `{name}`")
        wrap = Wrap.CLAMP if options.get("-clamp") == ["on"] else Wrap.REPEAT
        return Texture(image, wrap=(wrap, wrap), transform=_transform(options))

    def _image(self, name: str) -> Image | None:
        if name not in self._images:
            data = self.source.side_file(name) or self.source.side_file(_base_name(name))
            if data is None:
                self.losses.add("missing-texture", f"texture `{name}` is missing", warning=True)
            self._images[name] = None if data is None else Image(data, name=_base_name(name))
        return self._images[name]


def _base_name(name: str) -> str:
    return name.replace("\\", "/").rsplit("/", 1)[-1]


def _unit(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _texture_words(rest: str) -> tuple[dict[str, list[str]], str]:
    """Options and file name of a texture statement; the name may hold blanks."""
    words = rest.split(" ")
    options: dict[str, list[str]] = {}
    while len(words) > 1 and (not words[0] or words[0].lower() in _OPTION_VALUES):
        option = words.pop(0).lower()
        if not option:
            continue
        values: list[str] = []
        # Vectors may be given with one to three values, so stop at the first word that is no number.
        while len(values) < _OPTION_VALUES[option] and len(words) > 1:
            if not words[0]:
                words.pop(0)
            elif _OPTION_VALUES[option] > 1 and values and not _is_number(words[0]):
                break
            else:
                values.append(words.pop(0))
        options[option] = values
    return options, " ".join(words).strip()


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _transform(options: dict[str, list[str]]) -> TextureTransform | None:
    """`-s` and `-o` in glTF's convention, where v grows downwards."""
    if "-s" not in options and "-o" not in options:
        return None
    su, sv = _pair(options.get("-s", []), 1.0)
    ou, ov = _pair(options.get("-o", []), 0.0)
    if (su, sv, ou, ov) == (1.0, 1.0, 0.0, 0.0):
        return None
    # OBJ reads row v * sv + ov from the bottom, with v = 1 - v'; from the top that is v' * sv + (1 - sv -
    # ov).
    return TextureTransform(offset=(ou, 1.0 - sv - ov), scale=(su, sv))


def _pair(values: list[str], default: float) -> tuple[float, float]:
    numbers = [float(v) if _is_number(v) and np.isfinite(float(v)) else default for v in values[:2]]
    u, v = (numbers + [default] * 2)[:2]
    return u, v


def format_material(name: str, material: Material, images: SideImages) -> str:
    """One `newmtl` block; the inverse of `MaterialLibrary.material` for what MTL can say."""
    red, green, blue = linear_to_srgb(np.array(material.base_colour[:3]))
    lines = [f"newmtl {name}", f"Kd {red:.6g} {green:.6g} {blue:.6g}"]
    lines.append(f"Ns {min(2.0 / max(material.roughness, 0.1) ** 4 - 2.0, 1000.0):.6g}")
    lines.append(f"Pr {material.roughness:.6g}")
    lines.append(f"Pm {material.metallic:.6g}")
    alpha = material.base_colour[3] if material.alpha_mode != "OPAQUE" else 1.0
    lines.append(f"d {alpha:.6g}")
    if any(material.emissive):
        red, green, blue = linear_to_srgb(np.array(material.emissive))
        lines.append(f"Ke {red:.6g} {green:.6g} {blue:.6g}")
    lines.append(f"illum {0 if material.unlit else 2}")
    maps = [
        ("map_Kd", material.base_colour_texture),
        ("map_Ke", material.emissive_texture),
        ("norm", material.normal_texture),
    ]
    if material.alpha_mode != "OPAQUE":
        maps.insert(1, ("map_d", material.base_colour_texture))
    lines += [f"{word} {_options(texture)}{images.name_of(texture)}" for word, texture in maps if texture is not None]
    return "\n".join(lines) + "\n\n"


def _options(texture: Texture) -> str:
    text = ""
    if texture.transform is not None:
        (su, sv), (ou, ov) = texture.transform.scale, texture.transform.offset
        text += f"-s {su:.6g} {sv:.6g} 1 -o {ou:.6g} {1.0 - sv - ov:.6g} 0 "
    if texture.wrap == (Wrap.CLAMP, Wrap.CLAMP):
        text += "-clamp on "
    return text
