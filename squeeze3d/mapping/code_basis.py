"""The transform of a code model: uncorrelated coefficients whose white noise is white noise of the generator's latent.

```text
x ─► - mean ─► L = W^(1/2) ─► u ─► V^T ─► a        cov(u) = V diag(variances) V^T
x̂ ◄─ + mean ◄─ C L V diag(1 / variances) ◄──── â
```

W = E[J^T J], J the Jacobian of the generator's latent by the code, says what an error of the code does: an error e of
the code makes a latent error of about e^T W e. In u that is |L e|^2, so the best code for u under squared error is the
best code for the latent: the Karhunen-Loeve transform V, one quantiser step for all coefficients, and nothing for
those below the noise (reverse water-filling; Gersho and Gray, "Vector quantization and signal compression", 1992).
The way back is the linear estimate of x from â with the covariance C of the codes. Where W sees everything it equals
L^-1 V; directions that W does not see get their conditional mean.

Coefficients are scaled so that rows of `analysis` have unit length, which suits half precision; `scales` says how much
a unit error of each one weighs, as a standard deviation in u.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from squeeze3d.errors import InputError

FLOOR = 0.03
"""Part of the mean sensitivity that every direction gets.

W is estimated from few probes and misses directions. With 512 probes for 770 numbers, a floor of 1e-4 makes ten times
the error of 0.01 at 4 bits a number, and twenty times that of 0.05. Where W is exact, this costs less than 1 %.
"""
SHRINKAGE = 0.1
"""Part of the mean variance that every direction gets where codes are few.

Matters together with a sensitivity: from 24 codes of 32 numbers, none costs 1.2 dB; the choice between 0.02 and the
estimate of Ledoit and Wolf makes less than 0.7 dB, and from 300 codes on nothing matters.
"""
_NULL = 1e-10
"""Variance, as a fraction of the largest, below which a direction does not exist."""


@dataclass(frozen=True, eq=False)
class Basis:
    """Coefficients of centred codes."""

    analysis: NDArray[np.float16] | None
    """(k, d), or None for the identity."""
    synthesis: NDArray[np.float16] | None
    """(d, k), or None for the identity."""
    scales: NDArray[np.float64]
    """(k,) u per unit of each coefficient."""

    def metric(self, centred: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, k) coefficients of (N, d) centred codes, scaled so that all of them take the same step."""
        values = centred if self.analysis is None else centred @ self.analysis.astype(np.float64).T
        return values * self.scales


def identity_basis(size: int, sensitivity: NDArray[np.float64] | None) -> Basis:
    """Numbers of the code as they are; the diagonal of W weighs them."""
    if sensitivity is None:
        return Basis(None, None, np.ones(size))
    return Basis(None, None, np.sqrt(np.diag(_floored(sensitivity))))


def karhunen_loeve_basis(centred: NDArray[np.float64], root: NDArray[np.float64]) -> Basis:
    """Transform for (N, d) centred codes, k <= d coefficients with falling variance in u; `root` is L.

    The covariance is shrunk, so N may be smaller than d.
    """
    covariance = shrunk_covariance(centred)
    variances, vectors = np.linalg.eigh(_symmetric(root @ covariance @ root))
    order = np.argsort(-variances, kind="stable")
    order = order[variances[order] > _NULL * max(float(variances[order[0]]), np.finfo(float).tiny)]
    projection = root @ vectors[:, order]
    norms = np.linalg.norm(projection, axis=0)
    # Signs are arbitrary; fixed ones make the same codes give the same model.
    signs = np.sign(projection[np.abs(projection).argmax(axis=0), np.arange(len(order))])
    analysis = (projection / norms * signs).T
    synthesis = covariance @ projection / variances[order] * norms * signs
    if not np.abs(synthesis).max(initial=0.0) < np.finfo(np.float16).max:
        raise InputError(
            "the codes and their sensitivity differ too much in scale for a transform",
            hint="fit with transform=False, or scale the mapping network's code",
        )
    return Basis(analysis.astype(np.float16), synthesis.astype(np.float16), norms)


def shrunk_covariance(centred: NDArray[np.float64]) -> NDArray[np.float64]:
    """(d, d) covariance of (N, d) centred codes, pulled towards a multiple of the identity.

    S' = (1 - rho) S + rho (tr S / d) I with rho = `SHRINKAGE` * d / (N + d). The estimate of rho by Ledoit and Wolf
    (2004) is no better here: a few large variances make it too big.
    """
    count, size = centred.shape
    sample = centred.T @ centred / count
    rho = SHRINKAGE * size / (count + size)
    return (1 - rho) * sample + rho * (float(np.trace(sample)) / size) * np.eye(size)


def checked_sensitivity(sensitivity: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """(d, d) W, symmetric, scaled to a mean sensitivity of 1. Raises InputError for anything that is no W."""
    matrix = np.asarray(sensitivity, dtype=np.float64)
    hint = "pass the mean of J^T J over training codes"
    if matrix.shape != (size, size):
        raise InputError(f"the sensitivity has shape {matrix.shape}, not {(size, size)}", hint=hint)
    if not np.isfinite(matrix).all():
        raise InputError("the sensitivity is not finite", hint=hint)
    matrix = _symmetric(matrix)
    eigenvalues = np.linalg.eigvalsh(matrix)
    if eigenvalues[-1] <= 0 or eigenvalues[0] < -1e-3 * eigenvalues[-1]:
        raise InputError("the sensitivity is not positive semi-definite", hint=hint)
    return matrix * (size / np.trace(matrix))


def sensitivity_root(sensitivity: NDArray[np.float64]) -> NDArray[np.float64]:
    """(d, d) L, the symmetric square root of W."""
    values, vectors = np.linalg.eigh(_floored(sensitivity))
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def _floored(sensitivity: NDArray[np.float64]) -> NDArray[np.float64]:
    return sensitivity + FLOOR * np.eye(len(sensitivity))


def _symmetric(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    return (matrix + matrix.T) / 2
