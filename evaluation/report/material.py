"""What a page is made of, in one value."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.data.factor_table import Gradable
from evaluation.metrics.mutual_information import discretize, mutual_information
from evaluation.report.findings.code_order import order_codes
from evaluation.report.findings.knowledge import Known, knowledge
from evaluation.report.findings.matrices import information_shares
from evaluation.report.findings.walks import told_together
from evaluation.report.shown_data import ShownData, shown
from evaluation.scores import Report

_MOST_IMAGES = 100_000
_MOST_BINNED = 10_000
MOST_CODES = 32
"""Codes that a page shows; of more, those that come first in the common order."""


@dataclass(frozen=True)
class Material:
    """What a page is made of.

    Args:
        report: The content of `scores.json`.
        data: The dataset.
        numbers: Rows (n,) of the data whose codes are known.
        codes: Their codes (n, d).
        output: The folder of `scores.json`.
        compared_with: The content of another run's `scores.json`.
    """

    report: Report
    data: ShownData
    numbers: NDArray[np.int64]
    codes: NDArray[np.float64]
    output: Path
    compared_with: Report | None = None

    @classmethod
    def sampled(
        cls,
        report: Report,
        data: Gradable,
        content: tuple[NDArray[np.int64], NDArray],
        output: Path,
        compared_with: Report | None = None,
    ) -> "Material":
        """Material of all codes there are, or of 100,000 drawn from more."""
        numbers, codes = content
        if len(numbers) > _MOST_IMAGES:
            picked = np.random.default_rng(0).choice(len(numbers), _MOST_IMAGES, replace=False)
            picked.sort()
            numbers, codes = numbers[picked], codes[picked]
        return cls(report, shown(data), numbers, codes.astype(np.float64), output, compared_with)

    @cached_property
    def factors(self) -> NDArray[np.int64]:
        """Factors (n, k) of the images."""
        return self.data.factors_of(self.numbers)

    @cached_property
    def deviations(self) -> NDArray[np.float64]:
        """Standard deviation (d,) of each code."""
        return self.codes.std(axis=0)

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """How much each code tells of each factor (d, k): MIG's, or found in the same way."""
        details = self.report.details.get("mig")
        if details is not None:
            information = details["mutual_information"]
        else:
            some = np.random.default_rng(0).permutation(len(self.codes))[:_MOST_BINNED]
            information = mutual_information(discretize(self.codes[some]), self.factors[some])
        return information_shares(information, self.data.entropies)

    @cached_property
    def known(self) -> list[Known]:
        """What the codes know of each factor."""
        together = told_together(self.codes, self.factors)
        return knowledge(self.shares, together, self.data.chances)

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """The codes that are shown, in the one order in which all pictures show them."""
        return order_codes(self.shares)[:MOST_CODES]
