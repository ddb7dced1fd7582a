import numpy as np
import pytest

from squeeze3d.geometry.refit import fit_vertices


@pytest.mark.parametrize("samples", [3, 400])
def test_fit_is_the_least_squares_solution(samples):
    random = np.random.default_rng(samples)
    triangles = random.integers(0, 30, (50, 3))
    faces = random.integers(0, 50, samples)
    weights = random.dirichlet((1, 1, 1), samples)
    wanted, start = random.normal(size=(samples, 4)) * 100, random.normal(size=(30, 4)) * 100
    matrix = np.zeros((samples, 30))
    for sample in range(samples):
        np.add.at(matrix[sample], triangles[faces[sample]], weights[sample])
    stay = 0.05 * samples / 30
    slow = np.linalg.solve(matrix.T @ matrix + stay * np.eye(30), matrix.T @ wanted + stay * start)
    found = fit_vertices(faces, weights, triangles, wanted, start, stiffness=0.05)
    assert np.abs(found - slow).max() < 1e-3
