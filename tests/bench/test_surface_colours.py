"""Tables of the bench of surface colours."""

from __future__ import annotations

from squeeze3d.bench.surface_colours import KINDS, LIMIT, NOISE, OTHER, tables


def record(asset: str, what: str, budget: int, psnr: float, **more: object) -> dict[str, object]:
    return {"asset": asset, "what": what, "budget": budget, "bytes": budget, "psnr": psnr, "cpu_s": 2.0, **more}


def records() -> list[dict[str, object]]:
    found = [record("cup", "both", 0, 10.0), record("cup", LIMIT, 0, 30.0)]
    for budget in (100, 400):
        for kind, psnr in zip(KINDS, (20.0, 22.0, 22.0), strict=True):
            found.append(record("cup", kind, budget, psnr + budget / 100, notes={"kind": "views"}))
    found += [record("cup", NOISE, 400, 26.001, without=26.0), record("cup", OTHER, 400, 25.5, without=25.0)]
    return [*found, record("unfinished", "both", 0, 5.0)]


def test_tables_show_means_shares_and_robustness():
    text = tables(records(), (100, 400))
    assert "| mean of 1 | 0 | 100 | 400 | limit |" in text
    assert "| `volume` | 10.00 | 21.00 | 24.00 | 30.00 |" in text
    assert "| `views` ahead | | 1 | 1 | |" in text
    assert "| CPU seconds to encode | | 2 | 2 | |" in text
    assert "| cup | 10.0 | 23.0 v | 26.0 v | 30.0 |" in text
    assert "| cup | +0.001 | +0.500 |" in text


def test_assets_that_are_not_finished_are_left_out():
    assert "unfinished" not in tables(records(), (100, 400))
