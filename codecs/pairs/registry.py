"""The registry of pairs. Each is a codec as well: registering a pair registers its codec."""

from __future__ import annotations

from squeeze3d.codecs.pairs.codec import codec_of
from squeeze3d.codecs.pairs.spec import PairSpec
from squeeze3d.codecs.registry import load_plugins, register
from squeeze3d.errors import UsageError

_BY_ID: dict[str, PairSpec] = {}


def register_pair(pair: PairSpec) -> PairSpec:
    """Add a pair and its codec.

    Raises ValueError if its id or wire number is taken or reserved.
    """
    register(codec_of(pair))
    _BY_ID[pair.id] = pair
    return pair


def pairs() -> tuple[PairSpec, ...]:
    """All pairs, in order of registration."""
    load_plugins()
    return tuple(_BY_ID.values())


def pair_by_id(name: str) -> PairSpec:
    """Pair users call `name`; raises UsageError for an unknown one."""
    load_plugins()
    if name not in _BY_ID:
        known = ", ".join(_BY_ID) or "none is registered"
        raise UsageError(f"there is no pair `{name}`", hint=f"known pairs: {known}")
    return _BY_ID[name]
