"""Weights in half precision are the same weights, rounded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from squeeze3d.errors import InputError
from squeeze3d.mapping.checkpoint import read_shapes, read_tensors, write_tensors
from squeeze3d.training.half import halve, write_half


def test_a_halved_file_is_half_as_large_and_reads_alike(tmp_path: Path):
    tensors = {"b": torch.randn(64, 80), "a": torch.randn(500)}
    write_tensors(tmp_path / "whole.safetensors", tensors, {"about": "nothing"})
    halve(tmp_path / "whole.safetensors", tmp_path / "half.safetensors")
    sizes = [(tmp_path / name).stat().st_size for name in ("half.safetensors", "whole.safetensors")]
    assert sizes[0] < 0.52 * sizes[1]
    back = read_tensors(tmp_path / "half.safetensors", read_shapes(tmp_path / "whole.safetensors"), list(tensors))
    for name, tensor in tensors.items():
        assert torch.equal(back[name], tensor.half().float())


def test_the_same_tensors_give_the_same_bytes(tmp_path: Path):
    tensors = {"x": torch.randn(3, 4), "y": torch.randn(2)}
    write_half(tensors, tmp_path / "first")
    write_half(dict(reversed(tensors.items())), tmp_path / "second")
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_tensors_in_another_memory_order_are_written_as_they_read(tmp_path: Path):
    # `safetensors.numpy.save` writes memory as it lies; factors of a decomposition lie column by column.
    rows = torch.linalg.svd(torch.randn(5, 9), full_matrices=False)[2]
    for name, tensor in (("svd", rows), ("turned", torch.randn(4, 6).T), ("part", torch.randn(8, 8)[::2, ::3])):
        write_half({name: tensor}, tmp_path / name)
        back = read_tensors(tmp_path / name, {name: tuple(tensor.shape)}, [name])[name]
        assert torch.equal(back, tensor.half().float())


@pytest.mark.parametrize("number", [1e5, float("nan"), float("-inf")])
def test_refuses_numbers_that_do_not_fit(tmp_path: Path, number: float):
    with pytest.raises(InputError, match="`x`"):
        write_half({"x": torch.tensor([0.0, number])}, tmp_path / "file")
    assert not (tmp_path / "file").exists()
