"""scikit-learn's gradient-boosted trees, grown exactly and fast, for DCI."""

from evaluation.common import compiled

# Sums that lie side by side are made by one instruction, as C compilers do at -O2; numba does not
# unless told, and histograms would be filled half as fast. No order of additions changes.
compiled.numba.config.SLP_VECTORIZE = 1  # type: ignore[attr-defined]  # made when it runs
