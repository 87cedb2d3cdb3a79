"""What is drawn from a full grid, in disentanglement_lib's order and in blocks of random words.

A draw depends on the grid's sizes and on the state of the generator alone. Every metric starts from
the same state, and all tables of codes of a dataset get the same draws. So the last draws are kept.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation.common.compiled import njit

HoldFactor = Callable[[NDArray[np.int64], NDArray[np.int64]], None]
"""Given factors (rounds, groups, batch, k) and the number of the factor that each round holds
(rounds,), writes the held factor's values into the factors."""

_Pair = tuple[NDArray[np.int64], NDArray[np.int64]]
_State = tuple[Any, ...]

_DRAWS_KEPT = 16
"""A sampling seed of the challenge takes four, and the largest of them has 8 MB."""

_WORDS_AT_ONCE = 1 << 20
_MORE_THAN_ENOUGH = 1.05
_WORDS_BEYOND = 1024


def draw_points(
    sizes: Sequence[int], number: int, batch_size: int, random_state: RandomState
) -> _Pair:
    """Factors (number, k) and numbers (number,) of points, as drawn in batches of `batch_size`.

    Args:
        sizes: Number of values of each factor.
        number: Number of points.
        batch_size: Each batch draws one factor after another.
        random_state: An MT19937. It is left as the reference's draws leave it.

    Returns:
        Arrays that must not be written to.
    """
    return _drawn(_points, random_state, tuple(sizes), number, batch_size)


def draw_rounds(
    sizes: Sequence[int],
    hold: HoldFactor,
    shape: tuple[int, int, int],
    random_state: RandomState,
) -> _Pair:
    """Held factors (rounds,) and numbers of points, where `shape` is (rounds, groups, batch).

    In each round a factor is drawn that is to be held, then the factors of each group.

    Args:
        sizes: Number of values of each factor.
        hold: Depends on its arguments alone.
        shape: That of the numbers that are returned.
        random_state: An MT19937. It is left as the reference's draws leave it.

    Returns:
        Arrays that must not be written to.
    """
    return _drawn(_rounds, random_state, tuple(sizes), hold, shape)


def draw_integers(
    random_state: RandomState, bounds: Sequence[int], counts: Sequence[int], rounds: int
) -> NDArray[np.int64]:
    """What `rounds` rounds of `randint(bound, size=count)` over the pairs give, one row a round.

    Also leaves `random_state` as those calls do. They take 32-bit words, mask each to the bits of
    the bound and reject what is too large; here the words come in large blocks.
    """
    largest = np.repeat(np.array([bound - 1 for bound in bounds], np.uint32), counts)
    masks = np.repeat(
        np.array([(1 << (bound - 1).bit_length()) - 1 for bound in bounds], np.uint32), counts
    )
    ends = np.repeat(np.cumsum(counts), counts)
    words_per_value = float(np.sum((masks + 1.0) / (largest + 1.0))) / max(len(largest), 1)
    values = np.empty((rounds, len(largest)), dtype=np.int64)
    filled = 0
    while filled < values.size:
        before = random_state.get_state()
        enough = int(_MORE_THAN_ENOUGH * words_per_value * (values.size - filled)) + _WORDS_BEYOND
        words = _draw_words(random_state, min(enough, _WORDS_AT_ONCE))
        filled, used = _fill(values.reshape(-1), filled, words, largest, masks, ends)
        if filled == values.size:
            random_state.set_state(before)
            _draw_words(random_state, used)
    return values


def _drawn(draw: Callable[..., _Pair], random_state: RandomState, *arguments: Any) -> _Pair:
    pair, left = _kept(draw, _state_of(random_state), *arguments)
    _set_state(random_state, left)
    return pair


@lru_cache(_DRAWS_KEPT)
def _kept(draw: Callable[..., _Pair], state: _State, *arguments: Any) -> tuple[_Pair, _State]:
    """What is drawn from a state, and the state that is left."""
    random_state = RandomState()
    _set_state(random_state, state)
    pair = draw(*arguments, random_state)
    for array in pair:
        array.flags.writeable = False  # others get the same array
    return pair, _state_of(random_state)


def _state_of(random_state: RandomState) -> _State:
    """The state in a form that can be a key: its words as bytes."""
    kind, words, *rest = random_state.get_state()
    return kind, np.asarray(words).tobytes(), *rest


def _set_state(random_state: RandomState, state: _State) -> None:
    kind, words, *rest = state
    random_state.set_state((kind, np.frombuffer(words, np.uint32), *rest))


def _points(
    sizes: tuple[int, ...], number: int, batch_size: int, random_state: RandomState
) -> _Pair:
    whole, rest = divmod(number, batch_size)
    parts = [
        draw_integers(random_state, sizes, [batch] * len(sizes), rounds)
        .reshape(rounds, len(sizes), batch)
        .swapaxes(1, 2)
        .reshape(-1, len(sizes))
        for rounds, batch in ((whole, batch_size), (1, rest))
    ]
    factors = np.concatenate(parts)
    return factors, np.ravel_multi_index(tuple(factors.T), sizes)


def _rounds(
    sizes: tuple[int, ...],
    hold: HoldFactor,
    shape: tuple[int, int, int],
    random_state: RandomState,
) -> _Pair:
    rounds, groups, batch = shape
    k = len(sizes)
    bounds, counts = [k, *sizes * groups], [1] + [batch] * (k * groups)
    drawn = draw_integers(random_state, bounds, counts, rounds)
    held = drawn[:, 0].copy()  # no part of the large array, which is not kept
    factors = drawn[:, 1:].reshape(rounds, groups, k, batch).swapaxes(2, 3)
    hold(factors, held)
    numbers = np.ravel_multi_index(tuple(np.moveaxis(factors, 3, 0)), sizes)
    return held, np.ascontiguousarray(numbers)


def _draw_words(random_state: RandomState, count: int) -> NDArray[np.uint32]:
    return np.asarray(random_state.randint(1 << 32, size=count, dtype=np.uint32))


@njit
def _fill(
    values: NDArray[np.int64],
    filled: int,
    words: NDArray[np.uint32],
    largest: NDArray[np.uint32],
    masks: NDArray[np.uint32],
    ends: NDArray[np.int64],
) -> tuple[int, int]:
    """Fills in what words give, and says how many values are filled and words used then.

    Args:
        values: Rows of len(largest), one after another.
        filled: How many values are filled.
        words: To be used.
        largest: Values of each column.
        masks: Their bits.
        ends: The column after the last one that is drawn together with each column.
    """
    used = 0
    while filled < values.size:
        column = filled % largest.size
        end = filled + ends[column] - column
        bound, mask = largest[column], masks[column]
        if bound == 0:  # it takes no word
            values[filled:end] = 0
            filled = end
            continue
        while filled < end and used < words.size:
            value = words[used] & mask
            values[filled] = value  # without a branch, as what is too large cannot be predicted
            filled += int(value <= bound)
            used += 1
        if filled < end:
            break
    return filled, used
