"""Mapping networks: from the latent of a frozen encoder to a small code, and on to the latent of a frozen generator.

```text
z_E (B, *encoder_shape) ─► forward_map ─► code (B, code_size) ─► reverse_map ─► z_G (B, *generator_shape)
```

Squeeze3D trains both as one network (section 3.2, equations 2 and 3) and publishes them in one file. A compressor
runs the forward half, a decompressor the reverse half; each loads by itself. Files have the published key layout,
where the keys of the two halves are disjoint:

| architecture | pairs | forward keys | reverse keys |
|---|---|---|---|
| `residual-mlp` | meshes | `fc1`, `ln1`, `fc2` | `ln2`, `fc3` |
| `deep-mlp` | points | `first_layer`, `layer_norm`, `hidden_layers.0..5` | `hidden_layers.6..10`, `output_layer` |
| `conv3d` | fields | `encoder` | `decoder` |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn

from squeeze3d.errors import FormatError, UnsupportedError, UsageError
from squeeze3d.mapping import checkpoint
from squeeze3d.mapping.conv3d import ConvForward, ConvReverse
from squeeze3d.mapping.deep_mlp import DeepForward, DeepReverse
from squeeze3d.mapping.residual_mlp import ResidualForward, ResidualReverse


class MappingShapes(Protocol):
    """What a pair says about its mapping network. `PairSpec` does, and so does `MappingConfig`."""

    @property
    def architecture(self) -> str:
        """`residual-mlp`, `deep-mlp` or `conv3d`."""

    @property
    def encoder_shape(self) -> tuple[int, ...]:
        """Shape of one encoder latent."""

    @property
    def generator_shape(self) -> tuple[int, ...]:
        """Shape of one generator latent."""

    @property
    def code_size(self) -> int:
        """Numbers in a code."""

    @property
    def architecture_options(self) -> Mapping[str, Any]:
        """Further arguments of the architecture."""


@dataclass(frozen=True)
class MappingConfig:
    """A mapping network outside of any pair."""

    architecture: str
    encoder_shape: tuple[int, ...]
    generator_shape: tuple[int, ...]
    code_size: int
    architecture_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Architecture:
    forward: Callable[..., nn.Module]
    reverse: Callable[..., nn.Module]
    options: frozenset[str]
    size_key: str
    """Parameter whose first dimension tells the size of the code (`conv3d`: channels of the code)."""


_ARCHITECTURES = {
    "residual-mlp": _Architecture(ResidualForward, ResidualReverse, frozenset(), "fc1.weight"),
    "deep-mlp": _Architecture(DeepForward, DeepReverse, frozenset({"num_layers"}), "first_layer.weight"),
    "conv3d": _Architecture(
        ConvForward, ConvReverse, frozenset({"expansion", "bottleneck", "skip"}), "encoder.10.weight"
    ),
}

ARCHITECTURES: tuple[str, ...] = tuple(_ARCHITECTURES)
"""Names of the architectures."""


class MappingNetwork(nn.Module):
    """Forward and reverse half as one network, for training.

    `state_dict` has the prefixes `forward_map.` and `reverse_map.`; `published_state_dict` has none.
    """

    def __init__(self, forward_map: nn.Module, reverse_map: nn.Module) -> None:
        super().__init__()
        self.forward_map = forward_map
        self.reverse_map = reverse_map

    def forward(self, latent: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Generator latent (B, *generator_shape) and code (B, code_size) of encoder latents (B, *encoder_shape)."""
        if isinstance(self.forward_map, ConvForward) and self.forward_map.skip:
            code, skip = self.forward_map.with_skip(latent)
            return self.reverse_map(code, skip), code
        code = self.forward_map(latent)
        return self.reverse_map(code), code

    def published_state_dict(self) -> dict[str, torch.Tensor]:
        """Parameters of both halves by their published keys. The tensors are those of the network, not copies."""
        return {**self.forward_map.state_dict(), **self.reverse_map.state_dict()}

    def load_published_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Copy parameters in from published keys.

        Raises FormatError, naming the key, unless `state` has exactly the keys and shapes of this network.
        """
        shapes = {key: tuple(tensor.shape) for key, tensor in state.items()}
        checkpoint.check_layout("state", shapes, _shapes(self))
        for half in (self.forward_map, self.reverse_map):
            half.load_state_dict({key: state[key] for key in half.state_dict()})

    @torch.no_grad()
    def fold_output(self, scale: torch.Tensor, shift: torch.Tensor) -> None:
        """Change the last layer so that the network gives `scale * z_G + shift`; both broadcast to (*generator_shape).

        This is how a network trained on standardised latents becomes one of plain latents, in the published layout.
        Raises UnsupportedError for `conv3d`, which ends in an activation.
        """
        if not isinstance(self.reverse_map, ResidualReverse | DeepReverse):
            raise UnsupportedError(
                "a convolutional mapping network cannot take a scale into its last layer",
                hint="train it on plain latents, without standardised targets",
            )
        layer, shape = self.reverse_map.last_layer, self.reverse_map.generator_shape
        scale, shift = (x.to(layer.weight).broadcast_to(shape).reshape(-1) for x in (scale, shift))
        layer.weight.mul_(scale[:, None])
        layer.bias.mul_(scale).add_(shift)


def build_mapping(
    architecture: str,
    *,
    encoder_shape: Sequence[int],
    generator_shape: Sequence[int],
    code_size: int,
    dropout: float | None = None,
    **options: Any,
) -> MappingNetwork:
    """A freshly initialised network.

    Parameters
    ----------
    architecture : `residual-mlp`, `deep-mlp` or `conv3d`.
    encoder_shape, generator_shape : shapes of one latent, without the batch. Those of `conv3d` are equal.
    code_size : numbers in a code. For `conv3d` it follows from the shapes, and is checked.
    dropout : probability, None for the published one (0.35, 0.3, 0.2).
    options : `num_layers` of `deep-mlp`; `expansion`, `bottleneck`, `skip` of `conv3d`.

    Raises UsageError if these do not fit together.
    """
    if architecture == "conv3d" and tuple(encoder_shape) != tuple(generator_shape):
        raise UsageError(
            "the convolutional mapping needs latents of one shape at both ends, not "
            f"{tuple(encoder_shape)} and {tuple(generator_shape)}"
        )
    return MappingNetwork(
        build_forward(architecture, encoder_shape=encoder_shape, code_size=code_size, dropout=dropout, **options),
        build_reverse(architecture, generator_shape=generator_shape, code_size=code_size, dropout=dropout, **options),
    )


def build_forward(
    architecture: str, *, encoder_shape: Sequence[int], code_size: int, dropout: float | None = None, **options: Any
) -> nn.Module:
    """The forward half alone: (B, *encoder_shape) to (B, code_size). Parameters and errors as `build_mapping`."""
    entry, arguments = _arguments(architecture, encoder_shape, code_size, dropout, options)
    return entry.forward(encoder_shape, code_size, **arguments)


def build_reverse(
    architecture: str, *, generator_shape: Sequence[int], code_size: int, dropout: float | None = None, **options: Any
) -> nn.Module:
    """The reverse half alone: (B, code_size) to (B, *generator_shape). Parameters and errors as `build_mapping`."""
    entry, arguments = _arguments(architecture, generator_shape, code_size, dropout, options)
    return entry.reverse(generator_shape, code_size, **arguments)


def ignores_shift_and_scale(architecture: str) -> bool:
    """Whether codes may be shifted and scaled as a whole without changing what they decode to."""
    return bool(getattr(_architecture(architecture).reverse, "ignores_shift_and_scale", False))


def load_forward(path: str | Path, shapes: MappingShapes, device: str | torch.device = "cpu") -> nn.Module:
    """The forward half from a safetensors file in the published layout: evaluation mode, float32, no gradients.

    `shapes` is a `PairSpec` or a `MappingConfig`. Only this half's tensors are read; the layout of the whole file is
    checked.

    Raises
    ------
    InputError : the file cannot be opened.
    FormatError : its keys, shapes or types are not those of the network, or the weights are not finite or absurdly
        large. The message names file, key and what was expected.
    """
    network = _outline(shapes)
    return _filled(network.forward_map, network, path, shapes, device)


def load_reverse(path: str | Path, shapes: MappingShapes, device: str | torch.device = "cpu") -> nn.Module:
    """The reverse half, as `load_forward`."""
    network = _outline(shapes)
    return _filled(network.reverse_map, network, path, shapes, device)


def load_mapping(path: str | Path, shapes: MappingShapes, device: str | torch.device = "cpu") -> MappingNetwork:
    """Both halves, as `load_forward`. To train on, call `.train().requires_grad_(True)`."""
    network = _outline(shapes)
    for half in (network.forward_map, network.reverse_map):
        _filled(half, network, path, shapes, device)
    return network.eval()


def save_mapping(
    network: MappingNetwork, path: str | Path, metadata: Mapping[str, str] | None = None, *, overwrite: bool = False
) -> None:
    """Write a safetensors file in the published layout, whole or not at all.

    The same weights and metadata give the same bytes. Raises OutputError if the file exists and `overwrite` is false,
    or cannot be written.
    """
    checkpoint.write_tensors(path, network.published_state_dict(), metadata or {}, overwrite=overwrite)


def _architecture(name: str) -> _Architecture:
    try:
        return _ARCHITECTURES[name]
    except KeyError:
        raise UsageError(
            f"no mapping architecture `{name}`", hint=f"known: {', '.join(f'`{a}`' for a in ARCHITECTURES)}"
        ) from None


def _arguments(
    architecture: str, shape: Sequence[int], code_size: int, dropout: float | None, options: Mapping[str, Any]
) -> tuple[_Architecture, dict[str, Any]]:
    entry = _architecture(architecture)
    if code_size < 1 or not shape or min(shape) < 1:
        raise UsageError(f"a mapping of latents {tuple(shape)} to {code_size} numbers is empty")
    unknown = sorted(set(options) - entry.options)
    if unknown:
        raise UsageError(f"`{architecture}` has no option `{unknown[0]}`")
    if dropout is None:
        return entry, dict(options)
    if not 0 <= dropout < 1:
        raise UsageError(f"dropout is a probability below 1, not {dropout}")
    return entry, {**options, "dropout": dropout}


def _outline(shapes: MappingShapes) -> MappingNetwork:
    """The network without memory for its parameters."""
    with torch.device("meta"):
        return build_mapping(
            shapes.architecture,
            encoder_shape=shapes.encoder_shape,
            generator_shape=shapes.generator_shape,
            code_size=shapes.code_size,
            **shapes.architecture_options,
        )


def _shapes(network: MappingNetwork) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in network.published_state_dict().items()}


def _filled(
    half: nn.Module, network: MappingNetwork, path: str | Path, shapes: MappingShapes, device: str | torch.device
) -> nn.Module:
    expected = _shapes(network)
    _check_code_size(path, shapes, expected)
    tensors = checkpoint.read_tensors(path, expected, list(half.state_dict()), device=device)
    half.load_state_dict(tensors, assign=True)
    return half.requires_grad_(False).eval()


def _check_code_size(path: str | Path, shapes: MappingShapes, expected: Mapping[str, tuple[int, ...]]) -> None:
    """A checkpoint of another code size is the likeliest mix-up, and no single tensor's shape says so plainly."""
    key = _architecture(shapes.architecture).size_key
    found = checkpoint.read_shapes(path).get(key, ())
    if found and found[0] != expected[key][0]:
        positions = shapes.code_size // expected[key][0]
        raise FormatError(
            f"`{path}` maps to codes of {found[0] * positions} numbers, expected {shapes.code_size} "
            f"(`{key}` has shape {found}, expected {expected[key]})",
            hint="the file belongs to another pair, or the pair states the wrong code size",
        )
