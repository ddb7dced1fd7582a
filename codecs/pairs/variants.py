"""Pairs that share a codec: the same encoder and generator, with mapping networks whose codes differ in size.

```text
encode:  `-O code=N`, else the shortest code that is here ─► its pair ─► .sq3 with the fingerprint of its weights
decode:  fingerprint ─► the pair whose weights have it
```

Files do not tell the size of their code: the fingerprint does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial

from squeeze3d.assets.source import Asset, Loaded
from squeeze3d.bitstream.container import Container
from squeeze3d.bitstream.limits import Limits
from squeeze3d.codecs.pairs import codec
from squeeze3d.codecs.pairs.networks import fingerprint
from squeeze3d.codecs.pairs.spec import PairSpec
from squeeze3d.codecs.spec import CodecSpec, Job, option
from squeeze3d.errors import UsageError, WrongWeightsError
from squeeze3d.weights.cache import find


@dataclasses.dataclass(frozen=True)
class VariantOptions(codec.ColouredPairOptions):
    """Options of a codec with codes of several sizes, whose files may carry colours."""

    code: int = option(0, "numbers of the code, one of the sizes there are; 0 takes the shortest that is here", low=0)


def codec_of_variants(variants: Sequence[PairSpec]) -> CodecSpec:
    """Codec of pairs that differ in mapping network and size of the code alone, short codes first."""
    return dataclasses.replace(
        codec.codec_of(variants[0]),
        options=VariantOptions,
        encode=partial(encode, variants),
        decode=partial(decode, variants),
        missing=partial(_missing, variants),
        other_weights=tuple(pair.mapping for pair in variants[1:]),
    )


def encode(variants: Sequence[PairSpec], loaded: Loaded, options: VariantOptions, job: Job) -> Container:
    """Encode with the variant that the options name. Raises as the encoder of a single pair, and as `chosen`."""
    return codec.encode(chosen(variants, options.code), loaded, options, job)


def decode(variants: Sequence[PairSpec], container: Container, limits: Limits) -> Asset:
    """Decode with the variant that a file was made with. Raises as the decoder of a single pair."""
    return codec.decode(variant_of(variants, container), container, limits)


def chosen(variants: Sequence[PairSpec], code_size: int) -> PairSpec:
    """The variant with a size of the code; 0: the first one whose mapping network is here, else the first one.

    Raises UsageError for a size that no variant has.
    """
    if not code_size:
        return next((pair for pair in variants if find(pair.mapping) is not None), variants[0])
    for pair in variants:
        if pair.code_size == code_size:
            return pair
    sizes = ", ".join(str(pair.code_size) for pair in variants)
    raise UsageError(f"{variants[0].id} has no code of {code_size} numbers", hint=f"sizes of codes: {sizes}")


def variant_of(variants: Sequence[PairSpec], container: Container) -> PairSpec:
    """The variant whose weights are here and have the fingerprint of a file.

    Raises WrongWeightsError if only others are here.
    """
    here = [pair for pair in variants if all(find(name) is not None for name in pair.decoder_weights)]
    # Where there is nothing to choose from, the decoder says what is wrong.
    if len(variants) == 1 or container.fingerprint is None or not here:
        return variants[0]
    for pair in here:
        if fingerprint(pair) == container.fingerprint:
            return pair
    raise WrongWeightsError(
        f"the file needs weights of {variants[0].id} with the fingerprint {container.fingerprint.hex()}, which those "
        f"installed do not have: {', '.join(pair.mapping for pair in here)}",
        hint=f"get the mapping network it was made with, one of {', '.join(pair.mapping for pair in variants)}",
    )


def _missing(variants: Sequence[PairSpec]) -> str | None:
    # One mapping network does.
    return codec.codec_of(chosen(variants, 0)).missing()
