"""The search for a size, where estimates are off."""

from types import SimpleNamespace

import pytest

from squeeze3d.codecs.fields.options import FieldOptions
from squeeze3d.codecs.fields.search import Search


@pytest.mark.parametrize("off", [17, 25, 60])
def test_sizes_that_estimates_just_miss_are_met(off: int, monkeypatch: pytest.MonkeyPatch):
    search = Search.__new__(Search)
    search.options, search.job = FieldOptions(), SimpleNamespace(exact=True)
    # Plans every 40 bytes, whose streams are longer than they say.
    geometry = SimpleNamespace(head=SimpleNamespace(is_coarse=True))
    plans = [SimpleNamespace(bytes=size, geometry=geometry) for size in range(40, 2000, 40)]
    monkeypatch.setattr(
        search,
        "_flat_within",
        lambda room: max((p for p in plans if p.bytes <= room), key=lambda p: p.bytes, default=None),
    )
    monkeypatch.setattr(search, "_made_of", lambda plan: SimpleNamespace(plan=plan, symbols=bytes(plan.bytes + off)))
    found = search._for_size(976)
    assert found is not None
    assert 976 - 40 - off < len(found.symbols) <= 976
