"""The registry of pairs. Each is a codec as well: registering a pair registers its codec."""

from __future__ import annotations

from squeeze3d.bitstream.container import Container
from squeeze3d.codecs.pairs.codec import codec_of
from squeeze3d.codecs.pairs.spec import PairSpec
from squeeze3d.codecs.pairs.variants import codec_of_variants, variant_of
from squeeze3d.codecs.registry import load_plugins, register
from squeeze3d.errors import UsageError

_BY_ID: dict[str, PairSpec] = {}
_VARIANTS: dict[int, tuple[PairSpec, ...]] = {}
"""Pairs by the wire number of their codec; most codecs have one."""


def register_pair(pair: PairSpec) -> PairSpec:
    """Add a pair and its codec.

    Raises ValueError if its id or wire number is taken or reserved.
    """
    register(codec_of(pair))
    _BY_ID[pair.id] = pair
    _VARIANTS[pair.wire] = (pair,)
    return pair


def register_variants(*variants: PairSpec) -> PairSpec:
    """Add pairs that share id, wire number and codec, and differ in mapping network and size of the code.

    The first one has the id; each is also known as `id-size`, for training. Returns the first. Raises as
    `register_pair`.
    """
    first = variants[0]
    register(codec_of_variants(variants))
    _BY_ID[first.id] = first
    _BY_ID.update((f"{pair.id}-{pair.code_size}", pair) for pair in variants)
    _VARIANTS[first.wire] = variants
    return first


def pair_names() -> tuple[str, ...]:
    """What users call the pairs, in order of registration."""
    load_plugins()
    return tuple(_BY_ID)


def pair_of(container: Container) -> PairSpec | None:
    """The pair that a file was made with; None if its codec is no pair's.

    Raises WrongWeightsError where several have its codec, and none that is here its weights.
    """
    load_plugins()
    variants = _VARIANTS.get(container.codec)
    return None if variants is None else variant_of(variants, container)


def pair_by_id(name: str) -> PairSpec:
    """Pair users call `name`; raises UsageError for an unknown one."""
    load_plugins()
    if name not in _BY_ID:
        known = ", ".join(_BY_ID) or "none is registered"
        raise UsageError(f"there is no pair `{name}`", hint=f"known pairs: {known}")
    return _BY_ID[name]
