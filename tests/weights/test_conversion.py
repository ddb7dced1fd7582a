"""Pickle checkpoints: converted without running their code, or refused."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from squeeze3d.errors import ChecksumError, InputError, LimitError
from squeeze3d.weights import conversion
from squeeze3d.weights.cache import import_file, verify


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint.pt"


def imported(checkpoint: Path) -> dict[str, Any]:
    """Tensors of a checkpoint after its import as `sample`."""
    done = import_file("sample", checkpoint, force=True)
    assert done.converted
    assert hashlib.sha256(done.path.read_bytes()).hexdigest() == done.sha256
    return load_file(done.path)


@pytest.mark.parametrize("as_zip", [True, False])
def test_tensors_survive_with_shape_type_and_value(known, checkpoint, as_zip) -> None:
    known()
    tensors = {
        "a": torch.arange(6.0).reshape(2, 3).t(),
        "b": torch.ones(2, dtype=torch.bfloat16),
        "c": torch.tensor(3),
        "d": torch.zeros(0, 4, dtype=torch.float16),
    }
    torch.save(tensors, checkpoint, _use_new_zipfile_serialization=as_zip)
    found = imported(checkpoint)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model"])
def test_customary_wrapper_is_taken_off_with_what_stands_beside_it(known, checkpoint, wrapper) -> None:
    known()
    optimiser = {"state": {0: {"momentum": torch.ones(3)}}}
    torch.save({wrapper: {"fc.weight": torch.zeros(3)}, "optimizer": optimiser, "epoch": 3}, checkpoint)
    assert list(imported(checkpoint)) == ["fc.weight"]


def test_several_networks_keep_their_names_and_lose_what_stands_beside_them(known, checkpoint) -> None:
    known()
    networks = {"vae_state_dict": {"a.weight": torch.zeros(1)}, "dae_state_dict": {"0.b": torch.ones(2)}}
    torch.save({"epoch": 3, **networks, "vae_optimizer": {"state": {0: torch.ones(3)}}}, checkpoint)
    assert sorted(imported(checkpoint)) == ["dae_state_dict.0.b", "vae_state_dict.a.weight"]


@pytest.mark.parametrize("module", ["numpy._core.multiarray", "numpy.core.multiarray"])
def test_scores_as_numbers_of_numpy_are_dropped(known, checkpoint, module) -> None:
    known()
    content = {"acc": np.float64(0.9), "epoch": np.int64(3), "model_state_dict": {"fc": torch.ones(3)}}
    torch.save(content, checkpoint, _use_new_zipfile_serialization=False)
    # Names lie in the file as text that ends with its line.
    data = checkpoint.read_bytes()
    named = np.float64.__reduce__(np.float64(0))[0].__module__
    assert f"c{named}\nscalar\n".encode() in data
    checkpoint.write_bytes(data.replace(f"c{named}\n".encode(), f"c{module}\n".encode()))
    assert list(imported(checkpoint)) == ["fc"]


def test_arrays_of_numpy_are_refused(known, checkpoint) -> None:
    known()
    torch.save({"a": torch.zeros(1), "b": np.zeros(3)}, checkpoint)
    with pytest.raises(InputError, match=r"refused: reading it would call on `numpy\S*_reconstruct`"):
        import_file("sample", checkpoint)


def test_other_nesting_becomes_dotted_names(known, checkpoint) -> None:
    known()
    torch.save({"vae": {"a": torch.zeros(1), "deep": {"b": torch.ones(2)}}, "prior": {7: torch.ones(3)}}, checkpoint)
    assert sorted(imported(checkpoint)) == ["prior.7", "vae.a", "vae.deep.b"]


def test_tied_weights_are_written_apart(known, checkpoint) -> None:
    known()
    weight = torch.arange(4.0)
    torch.save({"a": weight, "b": weight, "half": weight[1:3]}, checkpoint)
    found = imported(checkpoint)
    assert torch.equal(found["a"], found["b"])
    assert torch.equal(found["half"], weight[1:3])


def test_same_checkpoint_gives_the_same_file(known, checkpoint) -> None:
    known()
    torch.save({"b": torch.zeros(3), "a": torch.ones(3)}, checkpoint)
    first = import_file("sample", checkpoint)
    again = import_file("sample", checkpoint, force=True)
    assert first.sha256 == again.sha256


def test_published_hash_is_that_of_the_checkpoint(known, checkpoint) -> None:
    torch.save({"a": torch.ones(3)}, checkpoint)
    sample = known(sha256=hashlib.sha256(checkpoint.read_bytes()).hexdigest(), size=checkpoint.stat().st_size)
    done = import_file("sample", checkpoint)
    assert done.header.metadata[conversion.SOURCE_KEY] == sample.sha256
    assert verify("sample").compared_with == "recorded"
    torch.save({"a": torch.zeros(3)}, checkpoint)
    with pytest.raises(InputError, match="not the published"):
        import_file("sample", checkpoint, force=True)


def test_converted_file_of_another_checkpoint_does_not_verify(known, checkpoint, monkeypatch) -> None:
    sample = known(sha256="0" * 64)
    torch.save({"a": torch.ones(3)}, checkpoint)
    monkeypatch.setattr("squeeze3d.weights.cache._check_hash", lambda *_: None)
    import_file(sample.name, checkpoint)
    with pytest.raises(ChecksumError, match="not the published"):
        verify("sample")


class Malicious:
    """Runs a shell command when an unguarded reader unpickles it."""

    def __init__(self, evidence: Path) -> None:
        self.evidence = evidence

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch '{self.evidence}'",)


@pytest.mark.parametrize("as_zip", [True, False])
def test_malicious_pickle_is_refused_and_its_code_does_not_run(known, checkpoint, weights, tmp_path, as_zip) -> None:
    known()
    evidence = tmp_path / "evidence"
    content = {"state_dict": {"a": torch.zeros(3)}, "extra": Malicious(evidence)}
    torch.save(content, checkpoint, _use_new_zipfile_serialization=as_zip)
    with pytest.raises(InputError, match=r"refused: reading it would call on `\w+\.system`") as caught:
        import_file("sample", checkpoint)
    assert "safetensors" in caught.value.hint
    assert not evidence.exists()
    assert not list(weights.glob("*"))
    # The evidence would appear: an unguarded reader leaves it.
    torch.load(checkpoint, weights_only=False)
    assert evidence.exists()


@pytest.mark.parametrize("as_zip", [True, False])
def test_damaged_checkpoints_are_input_errors(known, checkpoint, weights, as_zip) -> None:
    known()
    torch.save({"a": torch.arange(100.0)}, checkpoint, _use_new_zipfile_serialization=as_zip)
    whole = checkpoint.read_bytes()
    for length in range(4, len(whole), 37):
        checkpoint.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"checkpoint\.pt"):
            import_file("sample", checkpoint)
    assert not [path for path in weights.glob("*") if path.is_file()]


def test_checkpoints_without_tensors_are_refused(known, checkpoint) -> None:
    known()
    for content in ({}, {"epoch": 3}, [torch.zeros(2)], "text", {"state_dict": {}}):
        torch.save(content, checkpoint)
        with pytest.raises(InputError, match="holds no tensors"):
            import_file("sample", checkpoint)


def test_tensors_that_are_no_arrays_are_refused(known, checkpoint) -> None:
    known()
    sparse = torch.sparse_coo_tensor(torch.tensor([[0, 1]]), torch.tensor([1.0, 2.0]), (4,), check_invariants=True)
    for content in ({"a": sparse}, torch.zeros(3)):
        torch.save(content, checkpoint)
        with pytest.raises(InputError, match="not a plain array"):
            import_file("sample", checkpoint)


def test_dictionaries_that_hold_each_other_do_not_unfold(known, checkpoint) -> None:
    known()
    endless: dict[str, Any] = {"a": torch.zeros(1)}
    endless["self"] = endless
    doubled: dict[str, Any] = {"a": torch.zeros(1)}
    for _ in range(40):
        doubled = {"left": doubled, "right": doubled}
    for content in (endless, doubled):
        torch.save(content, checkpoint)
        with pytest.raises(InputError, match="does not unfold"):
            import_file("sample", checkpoint)


def test_tensor_stretched_over_little_memory_is_a_limit_error(known, checkpoint) -> None:
    known()
    torch.save({"a": torch.zeros(1).expand(10**13)}, checkpoint)
    with pytest.raises(LimitError, match="unfold to 40000000000000 bytes"):
        import_file("sample", checkpoint)


def test_compressed_archive_is_a_limit_error(known, checkpoint) -> None:
    known()
    with zipfile.ZipFile(checkpoint, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10_000_000))
    with pytest.raises(LimitError, match="more than its size"):
        import_file("sample", checkpoint)
