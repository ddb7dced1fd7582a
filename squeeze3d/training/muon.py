"""Muon for parameters of any number of dimensions.

Muon orthogonalises the momentum of a weight matrix before it steps (Jordan et al., 2024). torch brings it for matrices;
here, convolution kernels are seen as matrices (size(0), rest).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch


class Muon(torch.optim.Muon):
    """`torch.optim.Muon` that takes kernels, too.

    State is kept as matrices. Kernels must be contiguous. Saving and restoring work as for any torch optimiser.
    """

    def __init__(self, params: Iterable[torch.Tensor], **settings: Any) -> None:
        # The base class refuses kernels when it is made, so it starts with an empty matrix.
        super().__init__([torch.nn.Parameter(torch.empty(0, 0))], **settings)
        self.param_groups.clear()
        self.add_param_group({"params": list(params)})

    def _init_group(
        self,
        group: Any,
        params_with_grad: list[torch.Tensor],
        grads: list[torch.Tensor],
        muon_momentum_bufs: list[torch.Tensor],
    ) -> bool:
        for kernel in group["params"]:
            if kernel.grad is not None and "momentum_buffer" not in self.state[kernel]:
                self.state[kernel]["momentum_buffer"] = torch.zeros_like(_matrix(kernel.grad))
        has_complex = super()._init_group(group, params_with_grad, grads, muon_momentum_bufs)
        # The step writes to what stands for the kernels, so it must be a view; `view` fails where there is none.
        # Gradients are only read, and some convolutions lay them out in another order.
        params_with_grad[:] = [kernel.view(len(kernel), -1) for kernel in params_with_grad]
        grads[:] = [_matrix(gradient) for gradient in grads]
        return has_complex


def _matrix(gradient: torch.Tensor) -> torch.Tensor:
    return gradient.reshape(len(gradient), -1)
