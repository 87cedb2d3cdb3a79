"""FactorVAE's metric: the dim that varies least tells which factor is held (Kim, Mnih 1802.05983).

Equal to disentanglement_lib's `factor_vae` to the last bit, including what it does at the edges: an
active dim that is constant over the variance estimate gives 0/0, and such a dim gets the vote. So
does one whose variance overflows to infinity; one whose mean does, too, has no variance that passes
the threshold, and takes no part.
"""

from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation.data.ground_truth import GroundTruthData
from evaluation.metrics.arrays import checked_codes
from evaluation.metrics.sampling import Representation, sample_points, sample_rounds
from evaluation.metrics.tables.variances import variances_of_rounds


def compute_factor_vae(
    ground_truth_data: GroundTruthData,
    representation_function: Representation,
    random_state: RandomState,
    artifact_dir: str | None = None,  # noqa: ARG001 - disentanglement_lib's signature
    batch_size: int = 64,
    num_train: int = 10_000,
    num_eval: int = 5_000,
    num_variance_estimate: int = 10_000,
    prune_threshold: float = 0.05,
) -> dict[str, Any]:
    """FactorVAE's metric; `prune_threshold` is disentanglement_lib's `prune_dims.threshold`.

    `batch_size` is that of the rounds, not of what is encoded at once: see `sampling`.

    A dim whose standard deviation lies below the threshold takes no part. If none takes part,
    nothing more is drawn, both accuracies and `num_active_dims` are 0, and there are no votes.

    Returns:
        `train_accuracy` and `eval_accuracy` in [0, 1]; `num_active_dims`, which is the number of
        all dims, as in the reference; `training_votes` and `eval_votes`, (num_factors, d), whose
        columns number the active dims.

    Raises:
        ValueError: codes are not finite.

    Example:
        >>> from evaluation.data.ground_truth import IndexGrid
        >>> grid = IndexGrid((3, 4))
        >>> compute_factor_vae(grid, grid.factors_of, RandomState(0))["eval_accuracy"]
        1.0
    """
    sampled = sample(
        ground_truth_data,
        representation_function,
        batch_size,
        num_train,
        num_eval,
        num_variance_estimate,
        prune_threshold,
        random_state,
    )
    if sampled is None:
        return {"train_accuracy": 0.0, "eval_accuracy": 0.0, "num_active_dims": 0}
    variances, active, held, rounds = sampled
    winners = least_varying_dims(rounds[:, 0], variances, active)
    shape = (ground_truth_data.num_factors, len(variances))
    training_votes = count_votes(held[:num_train], winners[:num_train], shape)
    eval_votes = count_votes(held[num_train:], winners[num_train:], shape)
    train_accuracy, eval_accuracy = vote_accuracies(training_votes, eval_votes)
    return {
        "train_accuracy": train_accuracy,
        "eval_accuracy": eval_accuracy,
        "num_active_dims": len(active),
        "training_votes": training_votes,
        "eval_votes": eval_votes,
    }


def sample(
    data: GroundTruthData,
    representation: Representation,
    batch_size: int,
    num_train: int,
    num_eval: int,
    num_variance_estimate: int,
    prune_threshold: float,
    random_state: RandomState,
) -> tuple[NDArray, NDArray[np.bool_], NDArray[np.int64], NDArray] | None:
    """Variances (d,), the mask (d,) of the dims that take part, and what the rounds hold and give.

    Returns:
        Also the held factors (rounds,) and the codes (rounds, 1, batch_size, d) of all rounds, of
        training and then of evaluation; None, with no rounds drawn, where no dim takes part.
    """
    codes, _ = sample_points(
        data, representation, num_variance_estimate, num_variance_estimate, random_state
    )
    codes = checked_codes(codes)
    with np.errstate(over="ignore", invalid="ignore"):
        variances = np.var(codes, axis=0, ddof=1)
    active = np.sqrt(variances) >= prune_threshold
    if not active.any():
        return None
    shape = (num_train + num_eval, 1, batch_size)
    held, rounds = sample_rounds(data, representation, _hold_first_value, shape, random_state)
    return variances, active, held, rounds


def least_varying_dims(
    rounds: NDArray, variances: NDArray, active: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """The dim with the least variance in each round, relative to its variance overall.

    Args:
        rounds: Codes (rounds, batch, d), one factor held within each batch.
        variances: Overall variances (d,).
        active: Mask (d,) of the dims that take part.

    Returns:
        Positions (rounds,) among the active dims.

    Raises:
        ValueError: codes of another shape, or not finite.

    Example:
        >>> rounds = np.array([[[0.0, 1.0], [0.0, 5.0]], [[3.0, 2.0], [9.0, 2.0]]])
        >>> least_varying_dims(rounds, np.array([4.0, 4.0]), np.array([True, True]))
        array([0, 1])
    """
    rounds = checked_codes(rounds, "rounds", "rounds, batch, d")
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        local = variances_of_rounds(rounds)[:, active]
        return np.argmin(local / variances[active], axis=1)


def count_votes(
    held: NDArray[np.int64], winners: NDArray[np.int64], shape: tuple[int, int]
) -> NDArray[np.int64]:
    """Votes (num_factors, d): how often each dim won while each factor was held.

    Example:
        >>> count_votes(np.array([0, 1, 1]), np.array([0, 1, 0]), (2, 2))
        array([[1, 0],
               [1, 1]])
    """
    return np.bincount(held * shape[1] + winners, minlength=shape[0] * shape[1]).reshape(shape)


def vote_accuracies(
    training_votes: NDArray[np.int64], eval_votes: NDArray[np.int64]
) -> tuple[float, float]:
    """Shares of votes that a majority vote for each dim, learnt in training, gets right.

    Example:
        >>> vote_accuracies(np.array([[8, 0], [1, 9]]), np.array([[3, 1], [0, 4]]))
        (0.9444444444444444, 0.875)
    """
    factor_of_dim = np.argmax(training_votes, axis=0)
    dims = np.arange(training_votes.shape[1])
    train, evaluation = (
        float(np.sum(votes[factor_of_dim, dims]) / np.sum(votes))
        for votes in (training_votes, eval_votes)
    )
    return train, evaluation


def _hold_first_value(factors: NDArray[np.int64], held: NDArray[np.int64]) -> None:
    rounds = np.arange(len(held))
    factors[rounds, 0, :, held] = factors[rounds, 0, :1, held]
