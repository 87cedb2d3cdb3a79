"""The order in which scikit-learn has a node's samples, which decides ties."""

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation.metrics.boosting.growth.ties import _sum_of_left, _sum_of_right


def parted_by_swaps(samples: list[int], goes_left: NDArray[np.bool_]) -> tuple[list, list]:
    """What scikit-learn's partitioner leaves on the left and on the right."""
    samples = list(samples)
    front, back = 0, len(samples)
    while front < back:
        if goes_left[samples[front]]:
            front += 1
        else:
            back -= 1
            samples[front], samples[back] = samples[back], samples[front]
    return samples[:front], samples[front:]


def test_children_are_added_up_in_the_order_that_swaps_leave() -> None:
    random_state = RandomState(0)
    differing = 0
    for _ in range(300):
        n = random_state.randint(2, 60)
        gradient = random_state.normal(size=n) * 10.0 ** random_state.randint(-8, 8, size=n)
        goes_left = random_state.random_sample(n) < random_state.random_sample()
        goes_left[random_state.choice(n, 2, replace=False)] = True, False
        samples = random_state.permutation(n).astype(np.uint32)
        sides = np.where(goes_left[samples], 1, 2).astype(np.uint8)
        lefts = int(goes_left.sum())
        for compute, expected in zip(
            (_sum_of_left, _sum_of_right),
            parted_by_swaps(samples.tolist(), goes_left),
            strict=True,
        ):
            found = compute(gradient, samples.copy(), sides, lefts, np.zeros(n + 1, np.uint32))
            total = 0.0
            for point in expected:
                total += gradient[point]
            assert found == total
            differing += found != sum(gradient[np.sort(expected)].tolist())
    assert differing > 100  # the order does matter here
