"""Threads of torch."""

from __future__ import annotations

import pytest
import torch

from squeeze3d.backbones.threads import one_thread


def test_threads_are_as_before_afterwards():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with one_thread():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
        with pytest.raises(RuntimeError, match="inner"), one_thread():
            raise RuntimeError("inner")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
