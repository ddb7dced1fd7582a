import numpy as np
import pytest

from squeeze3d.geometry.edges import edges_of, first_rows


@pytest.mark.parametrize(("faces", "count"), [(0, 0), (1, 3), (200, 12), (500, 400)])
def test_edges_are_what_a_sort_finds(faces, count):
    triangles = np.random.default_rng(faces).integers(0, max(count, 1), (faces, 3))
    ends = np.sort(np.stack([triangles, np.roll(triangles, -1, axis=1)], axis=2).reshape(-1, 2), axis=1)
    wanted, index = np.unique(ends, axis=0, return_inverse=True)
    found = edges_of(triangles, count)
    assert np.array_equal(found.ends, wanted)
    assert np.array_equal(found.index, index.reshape(-1))


@pytest.mark.parametrize("count", [9, (1 << 21) + 9])
def test_first_rows_are_those_that_did_not_come_before(count):
    rows = np.random.default_rng(1).integers(0, 5, (300, 3)) + count - 5
    seen: set[tuple[int, ...]] = set()
    wanted = [i for i, row in enumerate(map(tuple, rows.tolist())) if not (row in seen or seen.add(row))]
    assert first_rows(rows, count).tolist() == wanted
