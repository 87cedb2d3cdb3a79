"""What a metric draws, in disentanglement_lib's order, and the codes of what it drew.

A `FactorGrid` says whether its observations are drawn. Where not, all its factors are drawn first,
with no Python call for each batch. Of a `FactorTable` rows are drawn. Any other dataset is called
batch by batch in the reference's order.

A metric's `batch_size` says how factors are drawn, and not how many observations the representation
is given: on an `IndexGrid` all at once, on any other dataset up to `OBSERVATIONS_AT_ONCE`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation.common.compiled import njit
from evaluation.data.factor_table import FactorTable
from evaluation.data.ground_truth import FactorGrid, GroundTruthData, IndexGrid

Representation = Callable[[NDArray], NDArray]
"""Maps observations (n, *observation_shape) to codes (n, d)."""

HoldFactor = Callable[[NDArray[np.int64], NDArray[np.int64]], None]
"""Given factors (rounds, groups, batch, k) and the number of the factor that each round holds
(rounds,), writes the held factor's values into the factors."""

OBSERVATIONS_AT_ONCE = 256
"""Most observations in one call of a representation, where they are more than numbers."""

_WORDS_AT_ONCE = 1 << 20
_WORDS_BEYOND = 1024


def continuous_columns(data: GroundTruthData) -> tuple[int, ...]:
    """Columns of continuous factors, which only tables have."""
    return data.continuous if isinstance(data, FactorTable) else ()


def sample_points(
    data: GroundTruthData,
    representation: Representation,
    num_train: int,
    batch_size: int,
    random_state: RandomState,
) -> tuple[NDArray, NDArray[np.int64]]:
    """Codes (num_train, d) and factors (num_train, k), as drawn in batches of `batch_size`.

    Of a table no row is drawn twice, so that there may be fewer.
    """
    if isinstance(data, FactorTable):
        return _encode_rows(data, representation, data.sample_rows(num_train, random_state))
    whole, rest = divmod(num_train, batch_size)
    if isinstance(data, FactorGrid) and not data.draws:
        drawn = [
            _draw_factors(data, rounds, size, random_state)
            for rounds, size in ((whole, batch_size), (1, rest))
        ]
        factors = np.concatenate(drawn)
        return _encode_factors(data, representation, factors), factors

    drawn = []

    def batches() -> Iterator[NDArray]:
        for size in [batch_size] * whole + [rest] * (rest > 0):
            factors, observations = data.sample(size, random_state)
            drawn.append(factors)
            yield observations

    codes = _encode(representation, batches())
    return codes, np.concatenate(drawn)


def sample_train_and_test(
    data: GroundTruthData,
    representation: Representation,
    num_train: int,
    num_test: int,
    batch_size: int,
    random_state: RandomState,
) -> tuple[NDArray, NDArray[np.int64], NDArray, NDArray[np.int64]]:
    """Codes and factors of `num_train` points, then those of `num_test`: see `sample_points`.

    Of a table no row is in both.
    """
    if isinstance(data, FactorTable):
        rows = data.split_rows(num_train, num_test, random_state)
        train, test = (_encode_rows(data, representation, part) for part in rows)
        return *train, *test
    train, test = (
        sample_points(data, representation, size, batch_size, random_state)
        for size in (num_train, num_test)
    )
    return *train, *test


def sample_rounds(
    data: GroundTruthData,
    representation: Representation,
    hold: HoldFactor,
    shape: tuple[int, int, int],
    random_state: RandomState,
) -> tuple[NDArray[np.int64], NDArray]:
    """Held factors (rounds,) and codes (*shape, d), where `shape` is (rounds, groups, batch).

    In each round a factor is drawn that is to be held, then the factors of each group. Of a table,
    in which no factor can be set, rows are drawn that share the values that are to be held.
    """
    rounds, groups, batch = shape
    k = data.num_factors
    if isinstance(data, FactorTable):
        held = random_state.randint(k, size=rounds)
        rows = random_state.randint(len(data), size=shape)
        # What holds factors says of each place whose value it is to share.
        sources = np.repeat(rows[..., np.newaxis], k, axis=-1)
        hold(sources, held)
        sources = sources[np.arange(rounds), :, :, held]
        shares = sources != rows
        factor = np.broadcast_to(held[:, np.newaxis, np.newaxis], shape)
        rows[shares] = data.rows_sharing(sources[shares], factor[shares], random_state)
        codes, _ = _encode_rows(data, representation, rows.reshape(-1))
        return held, codes.reshape(*shape, -1)
    if isinstance(data, FactorGrid) and not data.draws:
        bounds, counts = [k, *data.factor_sizes * groups], [1] + [batch] * (k * groups)
        drawn = draw_integers(random_state, bounds, counts, rounds)
        held = drawn[:, 0]
        factors = drawn[:, 1:].reshape(rounds, groups, k, batch).swapaxes(2, 3)
        hold(factors, held)
        codes = _encode_factors(data, representation, factors.reshape(-1, k))
        return held, codes.reshape(*shape, -1)

    held = np.empty(rounds, dtype=np.int64)

    def batches() -> Iterator[NDArray]:
        for number in range(rounds):
            held[number] = random_state.randint(k)
            factors = np.stack([data.sample_factors(batch, random_state) for _ in range(groups)])
            hold(factors[np.newaxis], held[number : number + 1])
            for group in factors:
                yield data.sample_observations_from_factors(group, random_state)

    codes = _encode(representation, batches())
    return held, codes.reshape(*shape, -1)


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
    values = np.empty((rounds, len(largest)), dtype=np.int64)
    filled = 0
    while filled < values.size:
        before = random_state.get_state()
        # At most half of the words are rejected on average, for a bound just above a power of two.
        enough = 2 * (values.size - filled) + _WORDS_BEYOND
        words = _draw_words(random_state, min(enough, _WORDS_AT_ONCE))
        filled, used = _fill(values.reshape(-1), filled, words, largest, masks)
        if filled == values.size:
            random_state.set_state(before)
            _draw_words(random_state, used)
    return values


def _draw_words(random_state: RandomState, count: int) -> NDArray[np.uint32]:
    return np.asarray(random_state.randint(1 << 32, size=count, dtype=np.uint32))


@njit
def _fill(
    values: NDArray[np.int64],
    filled: int,
    words: NDArray[np.uint32],
    largest: NDArray[np.uint32],
    masks: NDArray[np.uint32],
) -> tuple[int, int]:
    used = 0
    while filled < values.size:
        column = filled % largest.size
        value = np.uint32(0)
        if largest[column] > 0:  # a bound of one takes no word
            if used == words.size:
                break
            value = words[used] & masks[column]
            used += 1
            if value > largest[column]:
                continue
        values[filled] = value
        filled += 1
    return filled, used


def _draw_factors(
    data: FactorGrid, rounds: int, batch: int, random_state: RandomState
) -> NDArray[np.int64]:
    counts = [batch] * data.num_factors
    drawn = draw_integers(random_state, data.factor_sizes, counts, rounds)
    return drawn.reshape(rounds, data.num_factors, batch).swapaxes(1, 2).reshape(-1, len(counts))


def _encode_factors(
    data: FactorGrid, representation: Representation, factors: NDArray[np.int64]
) -> NDArray:
    indices = data.indices_of(factors)
    if isinstance(data, IndexGrid):
        return np.ascontiguousarray(representation(data.observations_at(indices)))
    return _encode(representation, (data.observations_at(part) for part in _parts(indices)))


def _encode_rows(
    data: FactorTable, representation: Representation, rows: NDArray[np.int64]
) -> tuple[NDArray, NDArray]:
    return np.ascontiguousarray(representation(rows)), data.factors[rows]


def _encode(representation: Representation, batches: Iterable[NDArray]) -> NDArray:
    """Codes of all batches: small ones are encoded together, large ones in parts."""
    codes: list[NDArray] = []
    waiting: list[NDArray] = []

    def encode_waiting() -> None:
        if waiting:
            codes.extend(map(representation, _parts(np.concatenate(waiting))))
        waiting.clear()

    for batch in batches:
        if sum(map(len, waiting)) + len(batch) > OBSERVATIONS_AT_ONCE:
            encode_waiting()
        waiting.append(batch)
    encode_waiting()
    # The reference stacks its batches row by row, and sums in the order of memory.
    return np.ascontiguousarray(np.concatenate(codes))


def _parts(array: NDArray) -> Iterator[NDArray]:
    for start in range(0, len(array), OBSERVATIONS_AT_ONCE):
        yield array[start : start + OBSERVATIONS_AT_ONCE]
