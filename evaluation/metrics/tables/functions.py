"""Each metric as a function of codes and factors, with the draws and the keys of the grader.

Codes are (n, d), or (n, tokens, width), and factors (n, k): arrays, lists, frames, or tensors on
any device. Rows that are a full grid, in any order, are drawn from as the grader draws from the
grid, so that the scores are the grader's. Of other rows no draw has one twice, and what is learnt
is tested on other rows than those that it was learnt from.

`kinds` says of some factors whether they are "discrete" or "continuous", by name (those of an array
are factor_0, factor_1 and so on); of the others it is found out, see
`evaluation.data.factor_columns`. `seed` is that of the draws; the challenge's is 0. `settings` are
those of the metric's function in its own module: `num_train`, say.

All raise `ValueError`, in one sentence, on shapes that do not fit and values that are missing or
not finite.
"""

from collections.abc import Mapping
from typing import Any


def mig(
    codes: Any,
    factors: Any,
    *,
    kinds: Mapping[str, Any] | None = None,
    seed: int = 0,
    **settings: Any,
) -> dict[str, Any]:
    """The mutual information gap: `mig.mig`'s result.

    Continuous factors are put into 20 equal-width bins.
    """
    return _compute("mig", codes, factors, kinds, seed, settings)


def dci(
    codes: Any,
    factors: Any,
    *,
    kinds: Mapping[str, Any] | None = None,
    seed: int = 0,
    **settings: Any,
) -> dict[str, Any]:
    """Disentanglement, completeness, informativeness: `dci.dci`'s result.

    Continuous factors are regressed.
    """
    return _compute("dci", codes, factors, kinds, seed, settings)


def sap(
    codes: Any,
    factors: Any,
    *,
    kinds: Mapping[str, Any] | None = None,
    seed: int = 0,
    **settings: Any,
) -> dict[str, Any]:
    """Separated attribute predictability: `sap_score.compute_sap`'s result.

    Of continuous factors it is the squared correlation, as in disentanglement_lib.
    """
    return _compute("sap_score", codes, factors, kinds, seed, settings)


def factor_vae(
    codes: Any,
    factors: Any,
    *,
    kinds: Mapping[str, Any] | None = None,
    seed: int = 0,
    **settings: Any,
) -> dict[str, Any]:
    """FactorVAE's metric: `factor_vae.compute_factor_vae`'s result.

    Raises:
        ValueError: also where too few rows share a value, or a factor is continuous.
    """
    return _compute("factor_vae_metric", codes, factors, kinds, seed, settings)


def beta_vae(
    codes: Any,
    factors: Any,
    *,
    kinds: Mapping[str, Any] | None = None,
    seed: int = 0,
    **settings: Any,
) -> dict[str, Any]:
    """BetaVAE's metric: `beta_vae.compute_beta_vae`'s result.

    Raises:
        ValueError: also where too few rows share a value, or a factor is continuous.
    """
    return _compute("beta_vae", codes, factors, kinds, seed, settings)


def irs(
    codes: Any,
    factors: Any,
    *,
    kinds: Mapping[str, Any] | None = None,
    seed: int = 0,
    **settings: Any,
) -> dict[str, Any]:
    """The interventional robustness score: `irs.irs`'s result.

    Raises:
        ValueError: also where too few rows share one of a factor's 20 bins.
    """
    return _compute("irs", codes, factors, kinds, seed, settings)


def modularity_explicitness(
    codes: Any,
    factors: Any,
    *,
    kinds: Mapping[str, Any] | None = None,
    seed: int = 0,
    **settings: Any,
) -> dict[str, Any]:
    """Both: `modularity_explicitness.compute_modularity_explicitness`'s result.

    Continuous factors are put into 20 equal-width bins.
    """
    return _compute("modularity_explicitness", codes, factors, kinds, seed, settings)


def infomec(
    codes: Any,
    factors: Any,
    *,
    kinds: Mapping[str, Any] | None = None,
    seed: int = 0,
    **settings: Any,
) -> dict[str, Any]:
    """InfoM, InfoE and InfoC: `infomec.infomec`'s result.

    Continuous factors are put into 20 equal-width bins.
    """
    return _compute("infomec", codes, factors, kinds, seed, settings)


def _compute(
    name: str,
    codes: Any,
    factors: Any,
    kinds: Mapping[str, Any] | None,
    seed: int,
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    from evaluation.metrics.tables.applicability import left_out
    from evaluation.metrics.tables.opening import open_arrays

    given = open_arrays(codes, factors, kinds, seed)
    for reason in left_out(given.data, [name]).values():
        raise ValueError(f"There is no {name} of these rows: {reason}.")
    return given.compute(name, seed, **settings)
