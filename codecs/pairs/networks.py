"""The networks of a pair on this machine, loaded when first used: a decoder never loads the encoder's half."""

from __future__ import annotations

import dataclasses
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from squeeze3d import device
from squeeze3d.assets.source import Asset
from squeeze3d.codecs.pairs.spec import Encoder, Generator, PairSpec
from squeeze3d.errors import FormatError, InputError
from squeeze3d.mapping.code_model import CodeModel
from squeeze3d.weights import hashing
from squeeze3d.weights.cache import find, locate

if TYPE_CHECKING:
    import torch


def fingerprint(pair: PairSpec) -> bytes:
    """First bytes of the hash over everything that decides what a code means.

    Raises MissingWeightsError.
    """
    return hashing.fingerprint_of([locate(name) for name in pair.decoder_weights])


def fitted(pair: PairSpec, *, mapping: bool = True) -> PairSpec:
    """A pair with the sizes that its weights on this machine have. Without any, with those that it states.

    `mapping=False` does not look at the mapping network: for training another one.

    Raises FormatError for files that do not belong together.
    """
    if pair.sizes is None:
        return pair
    files = {name: find(name) for name in pair.weights if mapping or name not in (pair.mapping, pair.code)}
    sizes = pair.sizes({name: path for name, path in files.items() if path is not None})
    return dataclasses.replace(
        pair,
        encoder_shape=sizes.encoder_shape,
        generator_shape=sizes.generator_shape,
        code_size=sizes.code_size,
        sizes=None,
    )


def code_model(pair: PairSpec) -> CodeModel:
    """Quantiser and tables of a pair. No network is loaded.

    Raises MissingWeightsError, FormatError.
    """
    return _code_model(pair, fingerprint(pair))


@lru_cache(maxsize=4)
def _code_model(pair: PairSpec, _: bytes) -> CodeModel:
    pair = fitted(pair)
    if pair.code is None:
        # Codes of a residual MLP feed a LayerNorm alone, which ignores shift and scale.
        return CodeModel.standard(pair.code_size, standardise=pair.architecture == "residual-mlp")
    model = CodeModel.load(locate(pair.code))
    if model.size != pair.code_size:
        raise InputError(
            f"code model `{pair.code}` is for codes of {model.size} numbers, but {pair.id} has {pair.code_size}",
            hint=f"import the right one with `sq3d models import {pair.code} FILE --force`",
        )
    return model


def networks(pair: PairSpec) -> Networks:
    """Networks of a pair on the current device (see `squeeze3d.device`). The last ones used are kept.

    Raises MissingWeightsError, FormatError (a file that does not fit the pair).
    """
    return _networks(pair, device.current(), fingerprint(pair), _encoder_state(pair))


@lru_cache(maxsize=1)
def _networks(pair: PairSpec, device_name: str, stamp: bytes, encoder_state: tuple[object, ...]) -> Networks:
    return Networks(pair, device_name, stamp)


def _encoder_state(pair: PairSpec) -> tuple[object, ...]:
    """What changes when an encoder's file does, as far as they are here: no fingerprint covers them."""
    paths = [path for path in map(find, pair.encoder_weights) if path is not None]
    return tuple((path, status.st_size, status.st_mtime_ns) for path in paths for status in [path.stat()])


class Networks:
    """Frozen networks of one pair on one device."""

    def __init__(self, pair: PairSpec, device_name: str, stamp: bytes) -> None:
        self.pair = fitted(pair)
        self.device = device_name
        self.fingerprint = stamp

    @cached_property
    def model(self) -> CodeModel:
        """Quantiser and tables."""
        return code_model(self.pair)

    @cached_property
    def encoder(self) -> Encoder:
        """E."""
        files = {name: locate(name) for name in self.pair.encoder_weights}
        return self.pair.load_encoder(files, self.device)

    @cached_property
    def generator(self) -> Generator:
        """G."""
        files = {name: locate(name) for name in self.pair.generator_weights}
        return self.pair.load_generator(files, self.device)

    @cached_property
    def forward_map(self) -> torch.nn.Module:
        """Encoder latents (B, *encoder_shape) to codes (B, d)."""
        from squeeze3d.mapping.networks import load_forward

        return load_forward(locate(self.pair.mapping), self.pair, self.device)

    @cached_property
    def reverse_map(self) -> torch.nn.Module:
        """Codes (B, d) to generator latents (B, *generator_shape)."""
        from squeeze3d.mapping.networks import load_reverse

        return load_reverse(locate(self.pair.mapping), self.pair, self.device)

    def code_of(self, framed: Asset) -> NDArray[np.float32]:
        """(d,) code of an asset in the pair's frame.

        Raises InputError where the encoder sees nothing, or what comes out is not finite.
        """
        import torch

        with torch.no_grad():
            latent = self.encoder.encode(self.encoder.prepare(framed))
            if tuple(latent.shape[1:]) != self.pair.encoder_shape:
                raise FormatError(
                    f"the encoder of {self.pair.id} gives latents of shape {tuple(latent.shape[1:])}, but its mapping "
                    f"network takes {self.pair.encoder_shape}",
                    hint="one of the weight files belongs to another network: `sq3d models verify`",
                )
            code = self.forward_map(latent)[0].float().cpu().numpy()
        if not np.isfinite(code).all():
            raise InputError(f"the encoder of {self.pair.id} returns no finite code for this asset")
        result: NDArray[np.float32] = code
        return result

    def generate(self, code: NDArray[np.float32]) -> Asset:
        """Asset in the generator's frame from a (d,) code.

        Raises InputError if the generator makes an empty surface of it.
        """
        import torch

        with torch.no_grad():
            latent = self.reverse_map(torch.from_numpy(code)[None].to(self.device))
            return self.generator.generate(latent)
