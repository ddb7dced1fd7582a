"""Codecs of this program, asked as a user would: by name, or without one (`sq3d`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import squeeze3d
from squeeze3d.assets.source import Asset
from squeeze3d.bench.contenders.base import KINDS, Contender, Encoded, Setting
from squeeze3d.codecs.registry import codec_by_id
from squeeze3d.codecs.spec import Kind

OWN_CHOICE = "sq3d"
FILE = "asset.sq3"


class Codec(Contender):
    """One codec, or the program's own choice between them.

    Parameters
    ----------
    id : of the codec, or `OWN_CHOICE`.
    effort : 1 to 9.
    """

    is_ours = True
    packages = ("squeeze3d", "numpy", "constriction")

    def __init__(self, id: str = OWN_CHOICE, effort: int | None = None) -> None:
        self.id = id
        self._effort = effort
        spec = None if id == OWN_CHOICE else codec_by_id(id)
        self.summary = "what `sq3d compress` chooses" if spec is None else spec.summary
        self.kinds = KINDS if spec is None else spec.kinds

    def missing(self) -> str | None:
        return None if self.id == OWN_CHOICE else codec_by_id(self.id).missing()

    def settings(self, sizes: Sequence[int], kind: Kind) -> Sequence[Setting]:
        """One for each size; the default quality as well, where the program chooses."""
        values = {} if self._effort is None else {"effort": self._effort}
        found = [Setting(str(size), size, values) for size in sizes]
        return [Setting("default", None, values), *found] if self.id == OWN_CHOICE else found

    def encode(self, source: Path, setting: Setting) -> Encoded:
        """A `.sq3` file."""
        codec = None if self.id == OWN_CHOICE else self.id
        found = squeeze3d.encode(source, codec=codec, target_size=setting.size, **setting.values)
        notes = {key: value for key, value in found.notes.items() if isinstance(value, bool | int | float | str)}
        return Encoded({FILE: found.data}, {"codec": found.codec.id, "fidelity": str(found.codec.fidelity), **notes})

    def decode(self, files: Mapping[str, bytes]) -> Asset:
        return squeeze3d.decompress(files[FILE])
