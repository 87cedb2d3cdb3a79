"""The metrics by name. Importing this loads none of them."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Metric:
    """Where a metric is found and how its result is read.

    Args:
        name: Name in the scores.
        function: `module.function` within `evaluation.metrics`.
        score_key: Key of the score in the function's result.
        further_keys: Keys of other scores worth showing.
        reference: Dotted name of disentanglement_lib's function; None if it has none.
        tolerance: Largest difference from the reference's score on the same codes. 0 where ours is
            equal to the last bit; for DCI it is the spread of the reference's own unseeded runs.
    """

    name: str
    function: str
    score_key: str
    further_keys: tuple[str, ...] = ()
    reference: str | None = None
    tolerance: float = 0.0

    def load(self) -> Callable[..., dict[str, Any]]:
        """The function (ground_truth_data, representation_function, random_state, ...)."""
        module, function = self.function.rsplit(".", 1)
        return getattr(import_module(f"{__name__}.{module}"), function)


_REFERENCES = "disentanglement_lib.evaluation.metrics"

CHALLENGE = (
    Metric(
        "factor_vae_metric",
        "factor_vae.compute_factor_vae",
        "eval_accuracy",
        reference=f"{_REFERENCES}.factor_vae.compute_factor_vae",
    ),
    Metric(
        "dci",
        "dci.compute_dci",
        "disentanglement",
        further_keys=("completeness", "informativeness_test"),
        reference=f"{_REFERENCES}.dci.compute_dci",
        tolerance=5e-3,
    ),
    Metric(
        "sap_score",
        "sap_score.compute_sap",
        "SAP_score",
        reference=f"{_REFERENCES}.sap_score.compute_sap",
        tolerance=2e-3,
    ),
    Metric("mig", "mig.compute_mig", "discrete_mig", reference=f"{_REFERENCES}.mig.compute_mig"),
    Metric("irs", "irs.compute_irs", "IRS", reference=f"{_REFERENCES}.irs.compute_irs"),
)
"""The five metrics of the challenge, in the order of its scores."""

EXTRA = (
    Metric(
        "beta_vae",
        "beta_vae.compute_beta_vae",
        "eval_accuracy",
        reference=f"{_REFERENCES}.beta_vae.compute_beta_vae_sklearn",
    ),
    Metric(
        "modularity_explicitness",
        "modularity_explicitness.compute_modularity_explicitness",
        "modularity_score",
        further_keys=("explicitness_score_test",),
        reference=f"{_REFERENCES}.modularity_explicitness.compute_modularity_explicitness",
    ),
    Metric("infomec", "infomec.compute_infomec", "infom", further_keys=("infoc", "infoe")),
)
"""Metrics beside the challenge's."""

METRICS = {metric.name: metric for metric in CHALLENGE + EXTRA}
