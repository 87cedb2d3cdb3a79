"""Codes and factors as the metrics take them: a dataset of rows, and a table of their codes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation.common.arrays import as_array
from evaluation.data.factor_columns import FactorColumn, Kind, read_columns
from evaluation.data.factor_table import FactorTable, GridOfRows, open_table
from evaluation.metrics.arrays import checked_codes
from evaluation.metrics.registry import METRICS
from evaluation.metrics.sampling import Representation
from evaluation.metrics.tables.applicability import as_taken
from evaluation.metrics.tables.tokens import Components, one_number_a_token


@dataclass(frozen=True)
class CodesAndFactors:
    """Codes and factors, row by row.

    Args:
        codes: (n, d).
        data: The factors; its observations are numbers of the rows.
        columns: The factors, as they were read.
        components: What made each token one number; None where codes were numbers from the start.
    """

    codes: NDArray
    data: GridOfRows | FactorTable
    columns: list[FactorColumn]
    components: Components | None

    def compute(
        self, name: str, seed: int, representation: Representation | None = None, **settings: Any
    ) -> dict[str, Any]:
        """What a metric returns for the codes, or for another representation of the same rows."""
        return METRICS[name].load()(
            as_taken(self.data, name),
            self.codes.__getitem__ if representation is None else representation,
            RandomState(seed),
            **settings,
        )


def open_arrays(
    codes: Any, factors: Any, kinds: Mapping[str, Kind] | None = None, seed: int = 0
) -> CodesAndFactors:
    """Codes (n, d) or (n, tokens, width), and factors (n, k), in whatever holds them.

    Args:
        codes: Real numbers.
        factors: As `factor_columns.read_columns` takes them.
        kinds: What some of the factors are, where that is not to be found out.
        seed: Decides on which rows the components of tokens are fitted, of many.

    Raises:
        ValueError: shapes that do not fit, or values that are missing or not finite.
    """
    array = as_array(codes)
    axes = "n, tokens, width" if array.ndim == 3 else "n, d"
    array = checked_codes(array, axes=axes)
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    columns = read_columns(factors, kinds)
    rows = len(columns[0].values)
    if len(array) != rows:
        raise ValueError(
            f"The shape of codes is {array.shape}, and factors have {rows} rows; both need one row"
            " for each point."
        )
    data = open_table(columns, told=kinds or ())
    array, components = one_number_a_token(array, seed)
    return CodesAndFactors(array, data, columns, components)
