"""What every peer must hold: bytes are those of its files, and what it decodes to looks like the asset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from squeeze3d.assets import Asset, load, save
from squeeze3d.bench.contenders.base import Contender, Encoded, Setting
from squeeze3d.codecs.spec import Kind
from squeeze3d.quality.figures import Measurement
from squeeze3d.quality.measure import Reference

SIZES = (1000, 3000)


def saved(asset: Asset, folder: Path) -> Path:
    """The asset in a file."""
    suffix = {Kind.MESH: "glb", Kind.POINTS: "ply", Kind.FIELD: "npz", Kind.SPLATS: "ply"}[Kind.of(asset)]
    path = folder / f"asset.{suffix}"
    save(asset, path)
    return path


def settings(peer: Contender, asset: Asset, sizes: Sequence[int] = SIZES) -> dict[str, Setting]:
    """By label, which is unique."""
    found = peer.settings(sizes, Kind.of(asset))
    named = {setting.label: setting for setting in found}
    assert len(named) == len(found)
    return named


def round_trip(peer: Contender, path: Path, setting: Setting) -> tuple[Encoded, Asset, Measurement]:
    """Encoded, decoded from the bytes alone, measured on small pictures."""
    assert peer.missing() is None
    original = load(path)
    assert Kind.of(original) in peer.kinds
    encoded = peer.encode(path, setting)
    assert encoded.size == sum(len(data) for data in encoded.files.values()) > 0
    if setting.size is not None:
        assert encoded.size <= setting.size
    decoded = type(peer)().decode(encoded.files)
    assert type(decoded) is type(original)
    return encoded, decoded, Reference(original, resolution=64, supersample=1).measure(decoded)
