"""BetaVAE's metric (Higgins et al., ICLR 2017): can a linear classifier tell which factor is held?

Equal to disentanglement_lib's `beta_vae_sklearn` on the same draws.
"""

from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation.data.ground_truth import GroundTruthData
from evaluation.metrics.arrays import checked_codes
from evaluation.metrics.sampling import Representation, sample_rounds


def compute_beta_vae(
    ground_truth_data: GroundTruthData,
    representation_function: Representation,
    random_state: RandomState,
    artifact_dir: str | None = None,  # noqa: ARG001 - disentanglement_lib's signature
    batch_size: int = 64,
    num_train: int = 10_000,
    num_eval: int = 5_000,
) -> dict[str, Any]:
    """BetaVAE's metric.

    `batch_size` is that of the rounds, not of what is encoded at once: see `sampling`.

    Returns:
        `train_accuracy` and `eval_accuracy` in [0, 1]. With a single factor, which the reference
        cannot classify, both are 1.
    """
    if ground_truth_data.num_factors == 1:
        return {"train_accuracy": 1.0, "eval_accuracy": 1.0}
    train, evaluation = sample(
        ground_truth_data, representation_function, num_train, num_eval, batch_size, random_state
    )
    train_accuracy, eval_accuracy = accuracies(
        differences(train[1]), train[0], differences(evaluation[1]), evaluation[0]
    )
    return {"train_accuracy": train_accuracy, "eval_accuracy": eval_accuracy}


def sample(
    data: GroundTruthData,
    representation: Representation,
    num_train: int,
    num_eval: int,
    batch_size: int,
    random_state: RandomState,
) -> list[tuple[NDArray[np.int64], NDArray]]:
    """Held factors (rounds,) and codes (rounds, 2, batch_size, d) of training and evaluation."""
    return [
        sample_rounds(data, representation, _share_value, (rounds, 2, batch_size), random_state)
        for rounds in (num_train, num_eval)
    ]


def differences(pairs: NDArray) -> NDArray[np.float64]:
    """Mean absolute difference (rounds, d) of two groups of codes (rounds, 2, batch, d).

    Where sums overflow, with which the reference fails, they are made in float64.

    Raises:
        ValueError: codes of another shape, or not finite.

    Example:
        >>> one_round = [[[[0.0, 1.0], [2.0, 3.0]], [[0.0, 4.0], [2.0, 8.0]]]]
        >>> differences(np.array(one_round))
        array([[0., 4.]])
    """
    pairs = checked_codes(pairs, "pairs", "rounds, 2, batch, d")
    # The reference averages in the type of the codes and keeps the result as float64.
    with np.errstate(over="ignore"):
        points = np.mean(np.abs(pairs[:, 0] - pairs[:, 1]), axis=1).astype(np.float64)
    if pairs.dtype == np.float64 or np.isfinite(points).all():
        return points
    return differences(pairs.astype(np.float64))


def accuracies(
    points: NDArray[np.float64],
    held: NDArray[np.int64],
    eval_points: NDArray[np.float64],
    eval_held: NDArray[np.int64],
) -> tuple[float, float]:
    """Accuracies of logistic regression from points (rounds, d) to the held factor (rounds,).

    Example:
        >>> points, held = np.array([[0.0, 4.0], [0.0, 5.0], [4.0, 0.0], [5.0, 0.0]]), [0, 0, 1, 1]
        >>> accuracies(points, np.array(held), points[:2], np.array(held[:2]))
        (1.0, 1.0)
    """
    from sklearn.linear_model import LogisticRegression

    classifier = LogisticRegression().fit(points, held)
    return (
        float(np.mean(classifier.predict(points) == held)),
        float(np.mean(classifier.predict(eval_points) == eval_held)),
    )


def _share_value(factors: NDArray[np.int64], held: NDArray[np.int64]) -> None:
    rounds = np.arange(len(held))
    factors[rounds, 1, :, held] = factors[rounds, 0, :, held]
