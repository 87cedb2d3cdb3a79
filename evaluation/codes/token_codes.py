"""The codes of a representation that gives tokens: one number each, and some as they came."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.metrics.tables.tokens import Components, fit_components


class Unreduced(NamedTuple):
    """Codes as the representation gave them: rows (m,), and all numbers of their tokens (m, t)."""

    rows: NDArray[np.int64]
    codes: NDArray


class TokenCodes:
    """Makes each token one number, and keeps the unreduced codes of rows that are asked for.

    So a table of all rows is as small as that of other representations, and a second run is
    compared with what the first one gave.

    Args:
        components: Of each token.
        unreduced: What is kept from the start.
    """

    def __init__(self, components: Components, unreduced: Unreduced | None = None) -> None:
        self.components = components
        self._wanted: set[int] = set()
        self._kept: dict[int, NDArray] = {}
        if unreduced is not None:
            self._kept.update(zip(unreduced.rows.tolist(), unreduced.codes, strict=True))

    @classmethod
    def fitted(cls, codes: NDArray, shape: tuple[int, int]) -> "TokenCodes":
        """By the components of codes (n, t), whose numbers are tokens of this shape."""
        return cls(fit_components(codes.reshape(-1, *shape)))

    def want(self, rows: NDArray[np.int64]) -> None:
        """Has the unreduced codes of these rows (m,) kept when they come, and no others."""
        self._wanted = set(rows.tolist())
        self._kept = {row: codes for row, codes in self._kept.items() if row in self._wanted}

    def reduce(self, rows: NDArray[np.int64], codes: NDArray) -> NDArray[np.float64]:
        """Codes (n, tokens) of the unreduced codes (n, t) of rows (n,)."""
        for row, numbers in zip(rows.tolist(), codes, strict=True):
            if row in self._wanted:
                self._kept[row] = numbers.copy()
        return self.components.reduce(codes.reshape(-1, *self.components.means.shape))

    def lacks(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Mask of the rows (n,) whose unreduced codes are not kept."""
        return np.array([row not in self._kept for row in rows.tolist()], dtype=bool)

    def unreduced(self, rows: Iterable[int]) -> NDArray:
        """The unreduced codes (n, t) of rows (n,), which are kept."""
        return np.stack([self._kept[int(row)] for row in rows])

    @property
    def kept(self) -> Unreduced:
        width = self.components.means.size
        codes = np.stack(list(self._kept.values())) if self._kept else np.empty((0, width))
        return Unreduced(np.array(list(self._kept), dtype=np.int64), codes)
