"""Arms differ in the parts they name, leave the codec as it was, and are gone on with after a stop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

import squeeze3d
from squeeze3d.bench import lite_ablation
from squeeze3d.bench.equal_bytes import Named
from squeeze3d.bench.lite_ablation import ARMS, AllColours, interpolation, run_arm, table, with_parts
from squeeze3d.codecs.colour.aims import CellAims
from squeeze3d.codecs.colour.cells import Hierarchy
from squeeze3d.codecs.colour.search import ColourSearch
from squeeze3d.codecs.lite import field, search
from squeeze3d.codecs.lite.cells import MARGIN, mixed_flags, surface_flags
from squeeze3d.codecs.lite.field import decode_field

ARM = {arm.name: arm for arm in ARMS}


@pytest.fixture
def occupied() -> np.ndarray:
    return np.random.default_rng(3).random((7, 6, 5)) < 0.6


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("inset", [0.0, 0.1])
def test_interpolation_is_trilinear(occupied: np.ndarray, factor: int, inset: float):
    found = decode_field(occupied, None, 0, factor, network=interpolation(inset)).dense()
    values = np.where(np.pad(occupied, MARGIN + 1), -0.5, 0.5)
    axes = [MARGIN + (np.arange(factor * (n + 2 * MARGIN)) + 0.5) / factor - 0.5 for n in occupied.shape]
    expected = map_coordinates(values, np.meshgrid(*axes, indexing="ij"), order=1) + inset
    # Cells that the network is not asked about hold a constant.
    asked = np.kron(mixed_flags(occupied) & np.pad(occupied, MARGIN), np.ones((factor,) * 3)).astype(bool)
    assert asked.sum() > 1000
    assert np.abs(found - expected)[asked].max() < 1e-6


def test_interpolation_does_not_see_scalars(occupied: np.ndarray):
    scalars = np.ones(int(surface_flags(occupied).sum()), dtype=np.int32)
    with_scalars = decode_field(occupied, scalars, 2, 4, network=interpolation()).dense()
    assert np.array_equal(with_scalars, decode_field(occupied, None, 0, 4, network=interpolation()).dense())


def test_all_colours_are_those_of_a_search_that_is_not_quick(occupied: np.ndarray):
    full = Hierarchy(occupied)
    rgb = np.random.default_rng(4).integers(0, 256, (full.count, 3))
    aims = CellAims(full, rgb, np.ones(full.count))
    wanted = ColourSearch(full, aims).fill(150, (0, 1))
    assert AllColours(full, aims).fill(150, (0, 1), quick=True) == wanted
    assert len(ColourSearch(full, aims).fill(150, (0, 1), quick=True)) < len(wanted)


@pytest.mark.parametrize("arm", ARMS, ids=list(ARM))
def test_arm_takes_parts_away_and_gives_them_back(arm: lite_ablation.Arm):
    usual = field.embedded_network, search.ColourSearch
    with with_parts(arm):
        assert (field.embedded_network is usual[0]) == (arm.inset is None)
        assert (search.ColourSearch is usual[1]) == (not arm.all_colours)
    assert (field.embedded_network, search.ColourSearch) == usual
    with pytest.raises(KeyError), with_parts(arm):
        raise KeyError
    assert (field.embedded_network, search.ColourSearch) == usual


def test_files_of_structure_need_its_decoder(folder: Path):
    arm = ARM["structure"]
    with with_parts(arm):
        data = squeeze3d.encode(folder / "box.glb", codec="mesh.lite", effort=1, options=arm.options).data
        mesh = squeeze3d.decompress(data)
    assert squeeze3d.decompress(data).face_count != mesh.face_count


def test_colours_arm_reaches_the_search(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def fill(*_: Any, **__: Any) -> None:
        raise KeyError

    monkeypatch.setattr(AllColours, "fill", fill)
    with pytest.raises(KeyError):
        run_arm(folder / "box.glb", ARM["colours"], 400, Named(folder / "box.glb"))


@pytest.mark.usefixtures("small_pictures")
@pytest.mark.slow
def test_second_run_goes_on_with_the_arms_that_lack(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
):
    output = tmp_path_factory.mktemp("output")
    arguments = [str(folder), "-o", str(output), "--size", "400", "--arms"]
    run = []

    def spy(path: Path, arm: lite_ablation.Arm, *rest: Any) -> dict[str, Any]:
        run.append(arm.name)
        return run_arm(path, arm, *rest)

    monkeypatch.setattr(lite_ablation, "run_arm", spy)
    assert lite_ablation.main([*arguments, "structure"]) == 0
    assert lite_ablation.main([*arguments, "decoder", "structure"]) == 0
    assert run == ["structure", "decoder"]
    structure, decoder = (json.loads(line) for line in (output / "results.jsonl").read_text().splitlines())
    assert (structure["arm"], decoder["arm"]) == ("structure", "decoder")
    assert max(structure["bytes"], decoder["bytes"]) <= 400
    # Interpolation between occupied and empty cells lies half a cell too far outside.
    assert structure["chamfer"] > 1.5 * decoder["chamfer"]
    rows = [line for line in (output / "table.md").read_text().splitlines() if line.startswith("| ")]
    assert [row.split(" |")[0] for row in rows] == ["| arm", "| structure", "| + decoder"]


def measured(asset: str, arm: str, bytes: int | None = 390, albedo: float = 20.0) -> dict[str, Any]:
    """A record of the table."""
    figures = {"object_albedo": albedo, "object_shaded": 10.0, "iou": 0.9, "chamfer": 0.3, "encode_s": 2.0}
    return {"asset": asset, "size": 400, "arm": arm, "bytes": bytes, **(figures if bytes else {"reason": "too small"})}


def test_table_shows_gains_over_the_row_before_and_who_is_left_out():
    records = [
        measured("a", "structure"),
        measured("a", "decoder", albedo=23.0),
        measured("b", "structure", albedo=22.0),
        measured("b", "decoder", albedo=22.5),
        measured("c", "structure", albedo=50.0),
        measured("c", "decoder", None),
        {**measured("d", "structure"), "size": 500},
    ]
    lines = table(records, [ARM["structure"], ARM["decoder"]], 400).splitlines()
    assert lines[2] == "| structure | 390 | 21.00 | 10.00 | 0.9000 | 0.300 | 2.0 |"
    assert lines[3] == "| + decoder | 390 | 22.75 (+1.75) | 10.00 (+0.00) | 0.9000 (+0.0000) | 0.300 (+0.000) | 2.0 |"
    assert lines[-1] == "Means of 2 of 3 assets. Left out: c."


def test_table_without_a_common_asset_has_no_numbers():
    lines = table([measured("a", "structure")], [ARM["structure"], ARM["decoder"]], 400).splitlines()
    assert lines[3] == "| + decoder | – | – | – | – | – | – |"
