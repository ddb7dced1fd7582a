"""Materials, textures and images of the glTF reader."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from gltf_samples import GltfBuilder, details, image_bytes, read_any, read_mesh

from squeeze3d.assets.image import TextureTransform, Wrap
from squeeze3d.assets.mesh import Material
from squeeze3d.errors import FormatError

PNG = image_bytes()


def shaded(material: dict[str, Any]) -> GltfBuilder:
    """A quad with this material."""
    builder = GltfBuilder()
    return builder.show({**builder.primitive(), "material": builder.append("materials", material)})


def textured(texture: dict[str, Any], info: dict[str, Any] | None = None, image: Any = None) -> GltfBuilder:
    """A quad whose base colour comes from this texture, with one PNG image."""
    reference = {"index": 0, **(info or {})}
    builder = shaded({"pbrMetallicRoughness": {"baseColorTexture": reference}})
    builder.append("images", image or {"bufferView": builder.view(PNG), "mimeType": "image/png", "name": "wood"})
    builder.append("textures", texture)
    return builder


def base_texture(builder: GltfBuilder, **files: bytes) -> Any:
    return read_mesh(builder, **files).materials[0].base_colour_texture


def test_missing_material_members_take_their_defaults() -> None:
    read, plain = read_mesh(shaded({})).materials[0], Material()
    assert all(getattr(read, name) == getattr(plain, name) for name in Material.__slots__)


def test_all_factors_are_read() -> None:
    material = read_mesh(
        shaded(
            {
                "name": "gold",
                "pbrMetallicRoughness": {
                    "baseColorFactor": [0.1, 0.2, 0.3, 0.4],
                    "metallicFactor": 0.5,
                    "roughnessFactor": 0.6,
                },
                "emissiveFactor": [0.5, 0.25, 0],
                "alphaMode": "MASK",
                "alphaCutoff": 0.7,
                "doubleSided": True,
                "extensions": {
                    "KHR_materials_unlit": {},
                    "KHR_materials_emissive_strength": {"emissiveStrength": 8},
                },
            }
        )
    ).materials[0]
    assert material.name == "gold"
    assert material.base_colour == (0.1, 0.2, 0.3, 0.4)
    assert (material.metallic, material.roughness) == (0.5, 0.6)
    assert material.emissive == (4, 2, 0)
    assert (material.alpha_mode, material.alpha_cutoff, material.double_sided) == ("MASK", 0.7, True)
    assert material.unlit


def test_images_stay_encoded_wherever_they_are_stored() -> None:
    inline = "data:image/png;base64," + base64.b64encode(PNG).decode()
    for image in (None, {"uri": "wood.png"}, {"uri": inline, "name": "wood"}):
        texture = base_texture(textured({"source": 0}, image=image), wood_png=PNG)
        assert texture.image.data == PNG
        assert texture.image.mime == "image/png"
        assert texture.image.name.startswith("wood")


def test_image_used_twice_is_one_object() -> None:
    builder = textured({"source": 0})
    builder.append("textures", {"source": 0})
    builder.root["materials"][0]["emissiveTexture"] = {"index": 1}
    material = read_mesh(builder).materials[0]
    assert material.base_colour_texture.image is material.emissive_texture.image


def test_sampler_and_transform_are_read() -> None:
    transform = {"offset": [0.5, 0.25], "rotation": 1.5, "scale": [2, 3], "texCoord": 2}
    info = {"texCoord": 1, "extensions": {"KHR_texture_transform": transform}}
    builder = textured({"source": 0, "sampler": 0}, info)
    builder.append("samplers", {"wrapS": 33071, "wrapT": 33648, "magFilter": 9728, "minFilter": 9987})
    texture = base_texture(builder)
    assert texture.uv_set == 2
    assert texture.wrap == (Wrap.CLAMP, Wrap.MIRROR)
    assert texture.filters == (9728, 9987)
    assert texture.transform == TextureTransform((0.5, 0.25), 1.5, (2, 3))


def test_odd_sampler_values_fall_back_with_a_warning() -> None:
    builder = textured({"source": 0, "sampler": 0})
    builder.append("samplers", {"wrapS": 10496, "minFilter": 7})
    texture = base_texture(builder)
    assert texture.wrap == (Wrap.REPEAT, Wrap.REPEAT)
    assert texture.filters == (None, None)
    assert "invalid-sampler" in details(builder)


@pytest.mark.parametrize("kind", ["webp", "avif"])
def test_newer_encoding_is_preferred_over_the_plain_image(kind: str) -> None:
    try:
        newer = image_bytes(kind.upper())
    except (KeyError, OSError):
        pytest.skip(f"Pillow is built without {kind}")
    name = f"EXT_texture_{kind}"
    builder = textured({"source": 0, "extensions": {name: {"source": 1}}})
    builder.append("images", {"bufferView": builder.view(newer), "mimeType": f"image/{kind}"})
    builder.root["extensionsRequired"] = [name]
    assert base_texture(builder).image.mime == f"image/{kind}"
    builder.root["images"][1] = {"uri": "gone.webp"}
    assert base_texture(builder).image.mime == "image/png"


def test_texture_with_only_a_ktx2_image_is_dropped_with_a_warning() -> None:
    ktx = b"\xabKTX 20\xbb\r\n\x1a\n" + bytes(80)
    builder = textured({"extensions": {"KHR_texture_basisu": {"source": 0}}})
    builder.root["extensionsRequired"] = ["KHR_texture_basisu"]
    plain = textured({"source": 0})
    plain.root["images"][0] = {"bufferView": plain.view(ktx), "mimeType": "image/ktx2"}
    for each in (builder, plain):
        mesh, losses = read_any(each)
        assert mesh.materials[0].base_colour_texture is None
        assert [(x.feature, x.warning) for x in losses] == [("unsupported-texture", True)]


def test_ktx2_next_to_a_plain_image_uses_the_plain_image() -> None:
    builder = textured({"source": 0, "extensions": {"KHR_texture_basisu": {"source": 0}}})
    assert base_texture(builder).image.data == PNG


@pytest.mark.parametrize("data", [None, b"", b"not an image", PNG[:20], PNG[:-30]])
def test_missing_or_damaged_image_is_a_warning_and_the_material_goes_on(data: bytes | None) -> None:
    builder = textured({"source": 0}, image={"uri": "wood.png"})
    builder.root["materials"][0]["pbrMetallicRoughness"]["metallicFactor"] = 0.25
    mesh, losses = read_any(builder, **({} if data is None else {"wood_png": data}))
    assert mesh.materials[0].base_colour_texture is None
    assert mesh.materials[0].metallic == 0.25
    (loss,) = losses
    assert (loss.feature, loss.warning) == ("missing-texture", True)
    assert "wood.png" in loss.detail


def test_damaged_data_uri_of_an_image_is_a_warning() -> None:
    mesh, losses = read_any(textured({"source": 0}, image={"uri": "data:image/png;base64,A"}))
    assert mesh.materials[0].base_colour_texture is None
    assert [(x.feature, x.warning) for x in losses] == [("missing-texture", True)]


def test_specular_glossiness_is_converted_and_reported() -> None:
    extension = {"diffuseFactor": [1, 0.5, 0, 1], "glossinessFactor": 0.75, "diffuseTexture": {"index": 0}}
    builder = textured({"source": 0})
    builder.root["materials"][0]["extensions"] = {"KHR_materials_pbrSpecularGlossiness": extension}
    material = read_mesh(builder).materials[0]
    assert material.base_colour == (1, 0.5, 0, 1)
    assert (material.metallic, material.roughness) == (0, 0.25)
    assert material.base_colour_texture is not None
    assert "specular-glossiness" in details(builder)


def test_other_material_extensions_are_reported_with_their_materials() -> None:
    builder = shaded({"name": "glass", "extensions": {"KHR_materials_transmission": {"transmissionFactor": 1}}})
    builder.root["extensionsUsed"] = ["KHR_materials_transmission"]
    assert details(builder) == {"material-extension": "KHR_materials_transmission on 1 material (glass)"}


def test_normal_scale_and_occlusion_strength_are_reported() -> None:
    builder = textured({"source": 0})
    builder.root["materials"][0] |= {
        "normalTexture": {"index": 0, "scale": 0.5},
        "occlusionTexture": {"index": 0, "strength": 1},
    }
    material = read_mesh(builder).materials[0]
    assert material.normal_texture is not None
    assert material.occlusion_texture is not None
    assert list(details(builder)) == ["normal-scale"]


def test_unused_materials_are_left_out_and_reported() -> None:
    builder = shaded({"name": "used"})
    builder.root["materials"].insert(0, {"name": "spare"})
    builder.root["meshes"][0]["primitives"][0]["material"] = 1
    mesh = read_mesh(builder)
    assert [x.name for x in mesh.materials] == ["used"]
    assert mesh.primitives[0].material == 0
    assert details(builder)["unused-material"] == "1 material that nothing shown uses (spare)"


@pytest.mark.parametrize(
    "material",
    [
        {"alphaMode": "SOMETIMES"},
        {"emissiveFactor": [1, 2]},
        {"emissiveFactor": [1, 2, "3"]},
        {"doubleSided": 1},
        {"name": 7},
        {"pbrMetallicRoughness": []},
        {"pbrMetallicRoughness": {"metallicFactor": float("nan")}},
        {"pbrMetallicRoughness": {"baseColorFactor": [10**400, 0, 0, 0]}},
        {"pbrMetallicRoughness": {"baseColorTexture": {}}},
        {"pbrMetallicRoughness": {"baseColorTexture": {"index": 3}}},
        {"extensions": []},
        {"extensions": {"KHR_materials_unlit": 3}},
    ],
)
def test_wrong_material_is_a_format_error(material: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        read_any(shaded(material))


def test_material_that_does_not_exist_is_refused() -> None:
    builder = shaded({})
    builder.root["meshes"][0]["primitives"][0]["material"] = 4
    with pytest.raises(FormatError, match="refers to entry 4 of `materials`, which has 1"):
        read_any(builder)
