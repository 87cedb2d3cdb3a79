"""Counters that threads of compiled code share."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from evaluation.common.compiled import njit
from evaluation.common.compiled.counters import Counters, increased, wait_for

_TAKEN, _DONE = range(2)


@njit
def _take(counters: Counters, pieces: int, times_taken: NDArray[np.int64]) -> int:
    """Takes pieces until none is left, and says how many are done when all are."""
    while True:
        piece = increased(counters, _TAKEN)
        if piece >= pieces:
            wait_for(counters, _DONE, pieces)
            return int(counters[_DONE])
        times_taken[piece] += 1
        increased(counters, _DONE)


def test_threads_share_the_pieces_and_wait_for_all_of_them() -> None:
    threads, pieces = 8, 100_000
    counters, times_taken = np.zeros(2, np.int64), np.zeros(pieces, np.int64)
    with ThreadPoolExecutor(threads) as pool:
        done = list(
            pool.map(lambda _: _take(counters, pieces, times_taken), range(threads), timeout=60)
        )
    assert done == [pieces] * threads
    assert counters[_TAKEN] == pieces + threads
    assert (times_taken == 1).all()
