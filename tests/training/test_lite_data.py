"""Packed training data: what goes in comes out, a stopped run goes on, damage is an error."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sample_assets import textured_cube, white_ball

from squeeze3d.assets.formats import save
from squeeze3d.codecs.lite.cells import mixed_flags, surface_flags
from squeeze3d.errors import FormatError, InputError, UsageError
from squeeze3d.geometry.solid import GridFrame, Solid
from squeeze3d.training import lite_data
from squeeze3d.training.lite_data import LIMIT, UNIT, LiteData, field_arrays, is_validation, object_names, pack

PARTS: list[lite_data.Part] = [("fields", 32), ("structures", 16)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two meshes, and a file that is none."""
    path = tmp_path_factory.mktemp("meshes")
    save(textured_cube(), path / "cube.glb")
    save(white_ball(), path / "ball.glb")
    (path / "broken.glb").write_bytes(b"not a mesh")
    return path


@pytest.fixture(scope="module")
def packed(folder, tmp_path_factory):
    """A packed folder, and what was left out."""
    output = tmp_path_factory.mktemp("data")
    return output, pack(folder, output, procedural=3, parts=PARTS, shard_size=4)


def everything(data: LiteData) -> dict[str, lite_data.Field]:
    return {field.name: field for split in ("train", "validation") for field in data.fields(32, split)}


def test_every_object_is_there_once_and_broken_ones_are_reported(packed):
    output, failures = packed
    assert set(failures) == {"broken"}
    fields = [field.name for split in ("train", "validation") for field in LiteData(output).fields(32, split)]
    assert sorted(fields) == ["ball", "cube", "procedural-0", "procedural-1", "procedural-2"]
    assert len(LiteData(output).shards(("fields", 32))) == 2


def test_fields_are_what_solid_says(packed, folder):
    field = everything(LiteData(packed[0]))["cube"]
    surface = lite_data.surface_of("cube", folder)
    frame = GridFrame.from_bounds(surface.bounds, 32)
    solid = Solid(frame.to_grid(surface.positions), surface.triangles, frame.cells)
    centres, fine = solid.centres(field.tau), solid.fine(field.tau)
    assert np.array_equal(field.occupied, centres < 0.5)
    assert np.allclose(field.centres * UNIT, centres[surface_flags(field.occupied)], atol=UNIT / 2 + 1e-6)
    cells = np.argwhere(mixed_flags(field.occupied))
    assert len(field.fine) == len(cells)
    for row in (0, len(cells) // 2, len(cells) - 1):
        x, y, z = 4 * cells[row]
        block = np.clip(fine[x : x + 4, y : y + 4, z : z + 4], -LIMIT, LIMIT)
        assert np.allclose(field.fine[row].reshape(4, 4, 4) * UNIT, block, atol=UNIT / 2 + 1e-6)


def test_colours_are_those_of_the_visible_surface(packed):
    fields = everything(LiteData(packed[0]))
    assert fields["ball"].colours is None
    cube = fields["cube"]
    assert cube.colours.shape == (len(cube.centres), 3)
    assert (cube.colour_counts > 0).mean() > 0.9
    seen = cube.colours[cube.colour_counts > 0].astype(int)
    assert np.ptp(seen, axis=0).min() > 100, "a colourful texture"


def test_an_inner_surface_gives_no_colour():
    """A green cube just inside a red one."""
    from sample_assets import box

    from squeeze3d.assets.mesh import Material, Mesh, Primitive
    from squeeze3d.geometry.surface import flatten

    positions, triangles = box()
    red = Material(base_colour=(1.0, 0, 0, 1))
    green = Material(base_colour=(0, 1.0, 0, 1))
    parts = (Primitive(positions, triangles, material=0), Primitive(positions * 0.995, triangles, material=1))
    arrays = field_arrays("nested", flatten(Mesh(parts, (red, green))), 32)
    seen = arrays["colours"][arrays["colour_counts"] > 0]
    assert len(seen) > 1000
    assert (seen == (255, 0, 0)).all()


def test_structures_can_be_read_at_every_resolution(packed):
    data = LiteData(packed[0])
    for resolution, longest in ((16, 14), (32, 30)):
        grids = [grid for split in ("train", "validation") for grid in data.structures(resolution, split)]
        assert len(grids) == 5
        assert all(max(grid.occupied.shape) == longest for grid in grids)
        assert all(type(grid) is lite_data.Grid for grid in grids)


def test_splits_share_nothing_and_depend_on_names_alone(packed):
    data = LiteData(packed[0])
    for split in ("train", "validation"):
        assert all(is_validation(field.name) == (split == "validation") for field in data.fields(32, split))
    share = np.mean([is_validation(f"name-{k}") for k in range(4000)])
    assert 0.035 < share < 0.065


def test_a_stopped_run_goes_on_with_what_is_missing(folder, packed, tmp_path):
    for path in packed[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    shards = sorted(tmp_path.glob("*.npz"))
    before = shards[0].stat().st_mtime_ns
    shards[1].unlink()
    pack(folder, tmp_path, procedural=3, parts=PARTS, shard_size=4)
    assert shards[0].stat().st_mtime_ns == before
    there, again = everything(LiteData(packed[0])), everything(LiteData(tmp_path))
    assert there.keys() == again.keys()
    assert all(np.array_equal(there[name].fine, again[name].fine) for name in there)


def test_two_processes_write_the_same(folder, packed, tmp_path):
    pack(folder, tmp_path, procedural=3, parts=PARTS[1:], shard_size=4, workers=2)
    here, there = LiteData(tmp_path), LiteData(packed[0])
    pairs = zip(here.structures(16, "train"), there.structures(16, "train"), strict=True)
    assert all(one.name == two.name and np.array_equal(one.occupied, two.occupied) for one, two in pairs)


def test_refuses_a_folder_of_other_objects(folder, packed):
    with pytest.raises(UsageError, match="other objects"):
        pack(folder, packed[0], procedural=2, parts=PARTS, shard_size=4)


def test_data_packed_before_objects_could_be_left_out_count_as_the_same(folder, packed, tmp_path):
    described = {"version": 1, "objects": object_names(folder, 3), "shard_size": 4, "unit": 0.04, "limit": 1.0}
    assert json.loads((packed[0] / lite_data.DESCRIPTION).read_text()) == described
    for path in packed[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    pack(folder, tmp_path, procedural=3, leave_out=[], parts=PARTS, shard_size=4)
    assert (tmp_path / lite_data.DESCRIPTION).read_bytes() == (packed[0] / lite_data.DESCRIPTION).read_bytes()


def test_refuses_folders_without_objects_or_data(tmp_path):
    with pytest.raises(InputError, match=r"no \.glb files"):
        object_names(tmp_path, 0)
    with pytest.raises(InputError, match="holds no training data"):
        LiteData(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "shape", "huge", "fine", "missing"])
def test_damage_is_an_error(packed, tmp_path, damage):
    for path in packed[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    for path in tmp_path.glob("fields-32-*.npz"):
        if damage == "cut":
            path.write_bytes(path.read_bytes()[:-100])
            continue
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        for name in [name for name in arrays if name.endswith("|shape")]:
            if damage == "shape":
                arrays[name] = arrays[name] + np.int16(8)
            elif damage == "huge":
                arrays[name] = np.full(3, 30_000, dtype=np.int16)
            elif damage == "fine":
                fine = name.replace("|shape", "|fine")
                arrays[fine] = arrays[fine][:-1]
            else:
                del arrays[name]
        np.savez(path, **arrays)
    with pytest.raises(FormatError, match="fields-32"):
        everything(LiteData(tmp_path))


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"version": 99})])
def test_refuses_foreign_descriptions(tmp_path, text):
    (tmp_path / lite_data.DESCRIPTION).write_text(text)
    with pytest.raises(FormatError):
        LiteData(tmp_path)


def test_packing_says_how_it_goes_and_what_was_left_out(folder, tmp_path):
    told: list[str] = []
    failures = pack(folder, tmp_path / "new", parts=PARTS[1:], say=told.append)
    assert "broken" in failures
    assert "1 of 1 files" in told[-1]
    with pytest.raises(InputError, match=r"no \.glb files"):
        pack(tmp_path / "new", tmp_path / "other")
