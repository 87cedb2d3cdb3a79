"""What a metric draws, in disentanglement_lib's order, and the codes of what it drew.

A `FactorGrid` says whether its observations are drawn. Where not, all its factors are drawn first,
with no Python call for each batch. Of a `FactorTable` rows are drawn. Any other dataset is called
batch by batch in the reference's order.

A metric's `batch_size` says how factors are drawn, and not how many observations the representation
is given: on an `IndexGrid` all at once, on any other dataset up to `OBSERVATIONS_AT_ONCE`.
"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation.data.drawing import HoldFactor, draw_points, draw_rounds
from evaluation.data.factor_table import FactorTable
from evaluation.data.ground_truth import FactorGrid, GroundTruthData, IndexGrid

Representation = Callable[[NDArray], NDArray]
"""Maps observations (n, *observation_shape) to codes (n, d)."""

OBSERVATIONS_AT_ONCE = 256
"""Most observations in one call of a representation, where they are more than numbers."""


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
    if isinstance(data, FactorGrid) and not data.draws:
        factors, numbers = draw_points(data.factor_sizes, num_train, batch_size, random_state)
        return _encode_numbers(data, representation, numbers), factors.copy()

    whole, rest = divmod(num_train, batch_size)
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
        held, numbers = draw_rounds(data.factor_sizes, hold, shape, random_state)
        codes = _encode_numbers(data, representation, numbers.reshape(-1))
        return held.copy(), codes.reshape(*shape, -1)

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


def _encode_numbers(
    data: FactorGrid, representation: Representation, indices: NDArray[np.int64]
) -> NDArray:
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
