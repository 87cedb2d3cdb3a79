"""Codes that no metric can compare: NaN, infinity, and what float32 cannot hold."""

import numpy as np
from numpy.typing import NDArray


def first_nonfinite_row(codes: NDArray) -> int | None:
    """The first row of codes (n, dims) that is not finite in float32, in which DCI compares."""
    with np.errstate(over="ignore"):
        finite = np.isfinite(codes.astype(np.float32, copy=False))
    # By rows it takes ten times as long, and hardly any codes need it.
    return None if finite.all() else int(finite.all(axis=1).argmin())
