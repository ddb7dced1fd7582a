"""Artefacts and their registry."""

from __future__ import annotations

import pytest

from squeeze3d.errors import UsageError
from squeeze3d.weights.artefacts import Artefact
from squeeze3d.weights.registry import artefact, artefacts, register_artefact

PUBLISHED = {
    "mesh_ma_instantmesh.safetensors",
    "mesh_ma_lrm.safetensors",
    "mesh_ma_shape.safetensors",
    "pc_pn_lion_1024.safetensors",
    "pc_pn_lion_2048.safetensors",
    "pc_pn_lion_4096.safetensors",
    "pc_pn_lion_8192.safetensors",
    "rf_nerfmae.safetensors",
}


def test_all_published_mappings_are_registered() -> None:
    published = [each for each in artefacts() if each.repository == "rishitdagli/squeeze3d"]
    assert {each.file for each in published} == PUBLISHED
    assert len(published) == len(PUBLISHED)
    for each in published:
        assert artefact(each.name) is each
        assert each.url == f"https://huggingface.co/rishitdagli/squeeze3d/resolve/main/{each.file}"
        assert each.terms == "MIT"


def test_a_name_is_registered_once(known) -> None:
    sample = known()
    with pytest.raises(ValueError, match="already"):
        register_artefact(sample)


def test_unknown_name_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no weights `nothing`"):
        artefact("nothing")


@pytest.mark.parametrize(
    "facts",
    [
        {"name": "../escape"},
        {"name": "a/b"},
        {"name": ".hidden"},
        {"name": "Upper"},
        {"name": "a" * 101},
        {"name": ""},
        {"file": "/etc/passwd"},
        {"file": "a/../../b"},
        {"file": ""},
        {"size": 0},
        {"sha256": "abc"},
        {"sha256": "A" * 64},
    ],
)
def test_rejects_facts_that_cannot_be(facts) -> None:
    with pytest.raises(ValueError, match=r"name|path|bytes|SHA-256"):
        Artefact(**{"name": "a", "summary": "", "file": "f", "license": "MIT", **facts})


def test_non_commercial_licence_is_loud() -> None:
    restricted = Artefact("a", "", "f", "CC-BY-NC-4.0", non_commercial=True)
    assert "NON-COMMERCIAL" in restricted.terms
    assert (restricted.page, restricted.url) == (None, None)
