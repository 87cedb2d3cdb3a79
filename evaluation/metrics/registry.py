"""The metrics by name. Importing this loads none of them."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from numpy.random import RandomState


@dataclass(frozen=True)
class Metric:
    """Where a metric is found and how its result is read.

    Args:
        name: Name in the scores.
        function: `module.function` within `evaluation.metrics`.
        sampler: The same for the function that makes all its draws. Of the sizes it takes those of
            `function`, by the name of the parameter.
        score_key: Key of the score in the function's result.
        further_keys: Keys of other scores worth showing.
        reference: Dotted name of disentanglement_lib's function; None if it has none.
        tolerance: Largest difference from the reference's score on the same codes. 0 where ours is
            equal to the last bit; for DCI it is the spread of the reference's own unseeded runs.
        needs: What a table that is no full grid must have: "rows" alone, rows that share each
            value of each factor, or the same but for each bin of the continuous factors.
        continuous: Whether it takes continuous factors as they are; else they are binned first.
    """

    name: str
    function: str
    sampler: str
    score_key: str
    further_keys: tuple[str, ...] = ()
    reference: str | None = None
    tolerance: float = 0.0
    needs: Literal["rows", "shared values", "shared bins"] = "rows"
    continuous: bool = False

    def load(self) -> Callable[..., dict[str, Any]]:
        """The function (ground_truth_data, representation_function, random_state, ...)."""
        return _load(self.function)

    def load_sampler(self) -> Callable[..., Any]:
        """The draws of the function with its default sizes, and nothing computed of them.

        It is called as (ground_truth_data, representation_function, random_state).
        """
        sampler = _load(self.sampler)
        wanted = inspect.signature(sampler).parameters
        sizes = {
            parameter.name: parameter.default
            for parameter in inspect.signature(self.load()).parameters.values()
            if parameter.name in wanted and parameter.default is not parameter.empty
        }

        def draw(data: Any, representation: Any, random_state: RandomState) -> Any:
            return sampler(data, representation, random_state=random_state, **sizes)

        return draw


def _load(function: str) -> Callable[..., Any]:
    module, name = function.rsplit(".", 1)
    return getattr(import_module(f"{__package__}.{module}"), name)


_REFERENCES = "disentanglement_lib.evaluation.metrics"

CHALLENGE = (
    Metric(
        "factor_vae_metric",
        "factor_vae.compute_factor_vae",
        "factor_vae.sample",
        "eval_accuracy",
        reference=f"{_REFERENCES}.factor_vae.compute_factor_vae",
        needs="shared values",
    ),
    Metric(
        "dci",
        "dci.compute_dci",
        "sampling.sample_train_and_test",
        "disentanglement",
        further_keys=("completeness", "informativeness_test"),
        reference=f"{_REFERENCES}.dci.compute_dci",
        tolerance=5e-3,
        continuous=True,
    ),
    Metric(
        "sap_score",
        "sap_score.compute_sap",
        "sampling.sample_train_and_test",
        "SAP_score",
        reference=f"{_REFERENCES}.sap_score.compute_sap",
        tolerance=2e-3,
        continuous=True,
    ),
    Metric(
        "mig",
        "mig.compute_mig",
        "sampling.sample_points",
        "discrete_mig",
        reference=f"{_REFERENCES}.mig.compute_mig",
    ),
    Metric(
        "irs",
        "irs.compute_irs",
        "sampling.sample_points",
        "IRS",
        reference=f"{_REFERENCES}.irs.compute_irs",
        needs="shared bins",
        continuous=True,
    ),
)
"""The five metrics of the challenge, in the order of its scores."""

EXTRA = (
    Metric(
        "beta_vae",
        "beta_vae.compute_beta_vae",
        "beta_vae.sample",
        "eval_accuracy",
        reference=f"{_REFERENCES}.beta_vae.compute_beta_vae_sklearn",
        needs="shared values",
    ),
    Metric(
        "modularity_explicitness",
        "modularity_explicitness.compute_modularity_explicitness",
        "sampling.sample_train_and_test",
        "modularity_score",
        further_keys=("explicitness_score_test",),
        reference=f"{_REFERENCES}.modularity_explicitness.compute_modularity_explicitness",
    ),
    Metric(
        "infomec",
        "infomec.compute_infomec",
        "sampling.sample_points",
        "infom",
        further_keys=("infoc", "infoe"),
    ),
)
"""Metrics beside the challenge's."""

METRICS = {metric.name: metric for metric in CHALLENGE + EXTRA}
