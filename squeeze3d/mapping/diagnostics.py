"""How evenly codes use their dimensions: effective rank and condition number (Squeeze3D, section 3.2, equation 5).

A code of d numbers whose samples lie in a plane is worth two. With l_i the eigenvalues of C = Z^T Z / B for codes
Z (B, d),

    d_eff = (sum l_i)^2 / sum l_i^2

lies between 1, one direction, and min(B, d), all directions alike. Fewer samples than dimensions bound it by B, so
compare values of equal B only. The paper's C is not centred: an offset that all codes share is a large eigenvalue,
and hides the rest. The centred figure counts variation alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from squeeze3d.errors import InputError


@dataclass(frozen=True, slots=True)
class CodeDiagnostics:
    """Figures of a set of codes."""

    effective_rank: float
    """d_eff of equation 5."""
    centred_effective_rank: float
    """d_eff of the covariance."""
    condition_number: float
    """Largest over smallest non-zero singular value of Z."""


def diagnose(codes: ArrayLike) -> CodeDiagnostics:
    """All figures of codes (B, d)."""
    return CodeDiagnostics(
        effective_rank=effective_rank(codes),
        centred_effective_rank=effective_rank(codes, centred=True),
        condition_number=condition_number(codes),
    )


def effective_rank(codes: ArrayLike, *, centred: bool = False) -> float:
    """d_eff of codes (B, d), equation 5; with `centred`, of their covariance. 0 if nothing is left to count.

    Raises InputError for codes that are not finite or not a matrix.
    """
    matrix = _matrix(codes)
    if centred:
        matrix -= matrix.mean(axis=0)
    largest = np.abs(matrix).max()
    if largest == 0:
        return 0.0
    matrix /= largest
    # Sums of eigenvalues and of their squares are the trace and the squared norm of the smaller of Z^T Z and Z Z^T.
    gram = matrix.T @ matrix if matrix.shape[1] < matrix.shape[0] else matrix @ matrix.T
    return float(np.trace(gram) ** 2 / np.square(gram).sum())


def condition_number(codes: ArrayLike) -> float:
    """Largest over smallest non-zero singular value of codes (B, d).

    The paper divides by the last of d singular values. With B < d that is always zero, so zeros are left out: values
    below max(B, d) * eps * the largest, which is rounding noise. 0 if all codes are zero.
    """
    matrix = _matrix(codes)
    values = np.linalg.svd(matrix, compute_uv=False)
    present = values[values > values[0] * max(matrix.shape) * np.finfo(np.float64).eps]
    return float(present[0] / present[-1]) if len(present) else 0.0


def _matrix(codes: ArrayLike) -> NDArray[np.float64]:
    matrix = np.array(codes, dtype=np.float64)
    if matrix.ndim != 2 or not matrix.size:
        raise InputError(f"codes are a matrix (samples, dimensions), not of shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise InputError("codes are not finite: the training diverged")
    return matrix
