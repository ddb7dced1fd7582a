"""Published checkpoints: the part of a file that one network needs, under the names that the file has.

```text
file ─► keys and shapes ─► ours, known, somebody else's ─► map ours ─► assign to a network on the meta device
```

Files hold more than what a pair uses: tokenisers, language models, encoders. Those parts are never read. A network is
built without memory for its parameters and gets tensors that are views of the mapped file, so that nothing lies in
memory twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from squeeze3d.mapping.checkpoint import read_shapes, read_tensors

Shape = tuple[int, ...]


def shapes_of(network: nn.Module) -> dict[str, Shape]:
    """Shape of every tensor of a network, by key."""
    return {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}


def fill(
    network: nn.Module,
    path: str | Path,
    *,
    names: Mapping[str, str] | None = None,
    owned: tuple[str, ...] = ("",),
    known: Mapping[str, Shape] | None = None,
    device: str | torch.device = "cpu",
) -> None:
    """Give a network its part of a safetensors file: float32, frozen, in evaluation mode.

    Parameters
    ----------
    network : may be on the meta device.
    names : name in the file of each key of the network; None where they are the same.
    owned : prefixes of the file that belong to the network. A key there that nobody expects is an error; keys
        elsewhere are left alone.
    known : keys below these prefixes that may be there, with their shapes, and are not read.

    Raises
    ------
    InputError : the file cannot be opened.
    FormatError : it is not a safetensors file; one of the network's keys is missing, or of the wrong shape or type; an
        owned key is unexpected; weights are not finite or larger than 1e6. The message names file and key.
    """
    ours = {key: key if names is None else names[key] for key in network.state_dict()}
    expected = {ours[key]: shape for key, shape in shapes_of(network).items()}
    for key, shape in read_shapes(path).items():
        if key in expected:
            continue
        if known is not None and key in known:
            expected[key] = known[key]
        elif not key.startswith(owned):
            expected[key] = shape
    tensors = read_tensors(path, expected, list(ours.values()), device=device)
    network.load_state_dict({key: tensors[name] for key, name in ours.items()}, assign=True)
    network.requires_grad_(False).eval()
