"""The registry of weights: every file a network of this program can read, once."""

from __future__ import annotations

from collections.abc import Mapping

from squeeze3d.errors import UsageError
from squeeze3d.weights.artefacts import Artefact

_BY_NAME: dict[str, Artefact] = {}


def register_artefact(new: Artefact) -> Artefact:
    """Add an artefact.

    Raises ValueError if its name is taken.
    """
    if new.name in _BY_NAME:
        raise ValueError(f"there is an artefact `{new.name}` already")
    _BY_NAME[new.name] = new
    return new


def register_embedded(prefix: str, summaries: Mapping[str, str]) -> None:
    """Add artefacts of ours that ship with the program: `prefix-part`, for each part that has a summary.

    Raises ValueError if a name is taken.
    """
    for part, summary in summaries.items():
        name = f"{prefix}-{part}"
        register_artefact(
            Artefact(name=name, summary=summary, file=f"{name}.safetensors", license="Apache-2.0", embedded=True)
        )


def artefacts() -> tuple[Artefact, ...]:
    """All artefacts in order of registration."""
    return tuple(_BY_NAME.values())


def artefact(name: str) -> Artefact:
    """Artefact of a name; raises UsageError for an unknown one."""
    if name not in _BY_NAME:
        raise UsageError(f"there are no weights `{name}`", hint="`sq3d models` lists the names")
    return _BY_NAME[name]


# The published mappings of Squeeze3D (arXiv 2506.07932). Their authors put their own files under MIT; the networks at
# both ends of a mapping have licences of their own, and are artefacts of their own. Sizes and hashes are not known.
for _name, _file, _summary in (
    ("mapping.instantmesh", "mesh_ma_instantmesh", "MeshAnything to InstantMesh, code of 770 numbers"),
    ("mapping.openlrm", "mesh_ma_lrm", "MeshAnything to OpenLRM, code of 1024 numbers"),
    ("mapping.shape", "mesh_ma_shape", "MeshAnything to Shap-E, code of 1024 numbers"),
    ("mapping.lion-1024", "pc_pn_lion_1024", "PointNet++ to LION, code of 1024 numbers"),
    ("mapping.lion-2048", "pc_pn_lion_2048", "PointNet++ to LION, code of 2048 numbers"),
    ("mapping.lion-4096", "pc_pn_lion_4096", "PointNet++ to LION, code of 4096 numbers"),
    ("mapping.lion-8192", "pc_pn_lion_8192", "PointNet++ to LION, code of 8192 numbers"),
    ("mapping.nerfmae", "rf_nerfmae", "NeRF-MAE to NeRF-MAE, code of 24000 numbers"),
):
    register_artefact(
        Artefact(
            name=_name,
            summary=_summary,
            file=f"{_file}.safetensors",
            license="MIT",
            repository="rishitdagli/squeeze3d",
        )
    )


# The networks at both ends of the published mesh pairs. Sizes are stated where they are known, which is also where a
# download can be checked.
register_artefact(
    Artefact(
        name="meshanything",
        summary="MeshAnything 350M, of which the point encoder is read",
        file="MeshAnything_350m.pth",
        license="S-Lab-1.0",
        repository="Yiwen-ntu/MeshAnything",
        non_commercial=True,
    )
)
for _size, _bytes in (("large", 1_514_818_077), ("base", 1_253_574_354)):
    register_artefact(
        Artefact(
            name=f"instantmesh-{_size}",
            summary=f"InstantMesh {_size}: pictures to planes to meshes",
            file=f"instant_mesh_{_size}.ckpt",
            license="Apache-2.0",
            repository="TencentARC/InstantMesh",
            size=_bytes,
        )
    )
register_artefact(
    Artefact(
        name="zero123-instantmesh",
        summary="Zero123++ v1.2 with white backgrounds: views of pictures, for data sets alone",
        file="diffusion_pytorch_model.bin",
        license="Apache-2.0",
        repository="TencentARC/InstantMesh",
        size=1_732_056_502,
    )
)
for _data in ("obj", "mix"):
    for _size in ("small", "base", "large"):
        # `model.safetensors` was added to the base repositories alone. The two files hold the same tensors but are not
        # the same bytes, so that fingerprints tell them apart: one of them has to be the published one.
        register_artefact(
            Artefact(
                name=f"openlrm-{_data}-{_size}",
                summary=f"OpenLRM {_data}-{_size} 1.1: a picture to planes to a mesh",
                file="model.safetensors" if _size == "base" else "pytorch_model.bin",
                license="CC-BY-NC-4.0",
                repository=f"zxhezexin/openlrm-{_data}-{_size}-1.1",
                non_commercial=True,
                size=445_738_986 if (_data, _size) == ("mix", "small") else None,
            )
        )
register_artefact(
    # Its model card advises against commercial use.
    Artefact(
        name="shap-e",
        summary="Shap-E's decoder as diffusers has it: latents to meshes",
        # By the library's custom; the listing of the repository could not be read.
        file="shap_e_renderer/diffusion_pytorch_model.safetensors",
        license="MIT",
        repository="openai/shap-e",
    )
)
for _file, _sha256, _summary in (
    ("vector_decoder", "d7e7ebbfe3780499ae89b2da5e7c1354012dba5a6abfe295bed42f25c3be1b98", "decoder"),
    ("transmitter", "af02a0b85a8abdfb3919584b63c540ba175f6ad4790f574a7fef4617e5acdc3b", "encoder and decoder"),
):
    register_artefact(
        Artefact(
            name=f"shap-e-{_file.replace('_', '-')}",
            summary=f"Shap-E's {_summary}, original",
            file=f"{_file}.pt",
            homepage=f"https://openaipublic.azureedge.net/main/shap-e/{_file}.pt",
            license="MIT",
            sha256=_sha256,
        )
    )

# The networks at both ends of the published point pairs. LION has the NVIDIA Source Code License for LION.
register_artefact(
    Artefact(
        name="pointnet2",
        summary="PointNet++ of ModelNet40, which is offered for academic use",
        file="log/classification/pointnet2_ssg_wo_normals/checkpoints/best_model.pth",
        homepage="https://github.com/yanx27/Pointnet_Pointnet2_pytorch",
        license="MIT",
    )
)
register_artefact(
    Artefact(
        name="lion",
        summary="LION of all 55 categories: latents to points, and priors",
        file="unconditional/all55/checkpoints/epoch_10999_iters_2100999.pt",
        license="NVIDIA-LION",
        repository="xiaohui2022/lion_ckpt",
        non_commercial=True,
    )
)

# Encoder and generator of the published pair of radiance fields: one network.
register_artefact(
    Artefact(
        name="nerfmae",
        summary="NeRF-MAE with Swin-S: fields to latents to fields",
        file="nerf_mae_pretrained.pt",
        license="CC-BY-NC-4.0",
        repository="mirshad7/NeRF-MAE",
        non_commercial=True,
    )
)
