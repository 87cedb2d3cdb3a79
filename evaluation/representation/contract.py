"""Whether codes can stand for images: each image's codes must depend on that image alone.

The grader encodes each image once. That gives the challenge's scores only if an image has the same
codes whenever it is encoded, and whatever else is in the batch (a batch norm left in training mode
breaks this). Differences as large as floating-point noise are allowed.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from evaluation.common.errors import KitError
from evaluation.representation.limits import ANSWER_BATCH
from evaluation.representation.running import RunningRepresentation

PROBE_IMAGES = 2 * ANSWER_BATCH
"""Images that the checks here need."""

_UNUSED_BITS = {"bfloat16": 16, "float16": 13}
"""Last bits of a float32 that are 0 in a number of the type."""

_DIMS_AT_ONCE = 1024
"""Dims that are compared at once: the numbers of many tokens are too many for memory."""

_MOST_JUMPS = 2
"""Rows whose codes may depend on rounding: noise of 1e-6 meets a jump once in 1e6 codes."""


def differ(codes: NDArray, other: NDArray, precision: str = "float32") -> float | None:
    """The largest difference between two arrays of codes (n, dims) if it exceeds noise, else None.

    As `differing_rows`.
    """
    rows = differing_rows(codes, other, precision)
    return _largest_difference(codes, other, rows) if len(rows) else None


def _largest_difference(codes: NDArray, other: NDArray, rows: NDArray[np.int64]) -> float:
    return float(np.abs(codes[rows].astype(np.float64) - other[rows]).max())


def differing_rows(codes: NDArray, other: NDArray, precision: str = "float32") -> NDArray[np.int64]:
    """Rows in which two arrays of codes (n, dims) differ by more than floating-point noise.

    In float32 noise is a little of the reach of a dim and, since rounding in a network reaches all
    dims alike, of the largest; it must be lost in the spread over images. bf16 rounds 65,536 times
    as coarsely, and is only asked to leave most of the spread. Reach and spread are those of most
    images, so that a few of huge codes excuse nothing in the others. Where codes are handed in as
    float16 or bfloat16, noise may also move them to the next number of that type.
    """
    parts = [
        slice(start, start + _DIMS_AT_ONCE) for start in range(0, codes.shape[1], _DIMS_AT_ONCE)
    ]
    spreads = [_spread(codes[:, part]) for part in parts]
    largest = np.max([_reach(codes[:, part]).max(axis=1) for part in parts], axis=0)[:, np.newaxis]
    widest = max(spread.max() for spread in spreads)
    steps = _steps(codes, other)
    differs = np.zeros(len(codes), dtype=bool)
    for part, spread in zip(parts, spreads, strict=True):
        reach = _reach(codes[:, part])
        if precision == "bf16":
            allowed = 0.2 * (spread + widest / 10) + 0.02 * reach
        else:
            allowed = 1e-3 * spread + 1e-5 * reach + 2e-6 * largest
        if steps:
            singles = np.abs(codes[:, part].astype(np.float32))
            allowed = allowed + steps * np.spacing(singles).astype(np.float64)
        difference = np.abs(codes[:, part].astype(np.float64) - other[:, part])
        differs |= (difference > allowed).any(axis=1)
    return np.flatnonzero(differs)


def _spread(codes: NDArray) -> NDArray[np.float64]:
    """The standard deviation (d,) of most codes (n, d), where they are normal."""
    low, high = np.quantile(codes.astype(np.float64), (0.1, 0.9), axis=0)
    return (high - low) / 2.56


def _reach(codes: NDArray) -> NDArray[np.float64]:
    """How far each code (n, d) is from 0, and at least as far as most of its dim."""
    sizes = np.abs(codes.astype(np.float64))
    return np.maximum(np.quantile(sizes, 0.9, axis=0), sizes)


def _steps(codes: NDArray, other: NDArray) -> int:
    """How many numbers of float32 there are from one to the next of the type that both came in.

    That is the coarsest type that holds all codes of both; 0 where it is float32 or float64. A
    representation's worker makes TorchScript's codes float32, whatever they were.
    """
    with np.errstate(over="ignore"):
        singles = [np.asarray(part, dtype=np.float32) for part in (codes, other)]
    if not all(map(np.array_equal, singles, (codes, other))):
        return 0
    bits = [part.view(np.uint32) for part in singles]
    for unused in _UNUSED_BITS.values():
        if not any((part & ((1 << unused) - 1)).any() for part in bits):
            return 1 << unused
    return 0


def violations(representation: RunningRepresentation, images: NDArray) -> Iterator[KitError]:
    """What the representation does wrong on PROBE_IMAGES different images, one after another.

    Raises:
        KitError: as `RunningRepresentation.encode`.
    """
    first, others = images[:ANSWER_BATCH], images[ANSWER_BATCH:PROBE_IMAGES]
    codes = representation.encode(first)
    difference = differ(codes, representation.encode(first))
    if difference is not None:
        yield _not_repeatable(representation, difference)
        return  # nothing further can be told apart from chance
    comparisons = {
        "alone": np.concatenate([representation.encode(first[i : i + 1]) for i in range(4)]),
        "beside other images": representation.encode(np.concatenate([first[:4], others]))[:4],
        "in another place": representation.encode(first[::-1])[::-1][:4],
    }
    for how, again in comparisons.items():
        difference = differ(codes[:4], again)
        if difference is not None:
            yield KitError(
                "REPRESENTATION-BATCH",
                f"{representation.found.path} gives an image other codes {how} than in a batch of "
                f"{ANSWER_BATCH} (they differ by up to {difference:.3g})",
                "Call .eval() before exporting, so that batch norm and dropout are fixed, or grade "
                "it all the same with --allow-unstable",
            )
            return


def changes(
    representation: RunningRepresentation,
    codes: NDArray,
    again: NDArray,
    image_of: Callable[[int], NDArray],
) -> Iterator[KitError]:
    """Whether a fresh worker gave images other codes (n, dims) than they had `again`.

    Codes that jump (an argmax, a sign) may change with the rounding of another size of the batch,
    in a row or two. Such a row is let pass if `representation` gives its first codes somewhere in a
    batch of the usual size; codes that come from state do not come back.

    Args:
        image_of: Gives the image of a row.
    """
    precision = representation.used_precision
    rows = differing_rows(codes, again, precision)
    if len(rows) > _MOST_JUMPS or not all(
        _comes_back(representation, codes, row, image_of(row)) for row in rows
    ):
        difference = _largest_difference(codes, again, rows)
        yield KitError(
            "REPRESENTATION-STATE",
            f"{representation.found.path} gives {len(rows):,} of {len(codes):,} images other codes "
            f"in another order, in a new process (they differ by up to {difference:.3g})",
            "Make codes a function of the image alone, without counters, memories, clocks or "
            "random numbers, or grade it all the same with --allow-unstable",
        )


def _comes_back(
    representation: RunningRepresentation,
    codes: NDArray,
    row: int,
    image: NDArray,
) -> bool:
    """Whether the image has the codes of `row` at some place in a batch."""
    tried = representation.encode(np.repeat(image[np.newaxis], representation.batch, axis=0))
    for place in tried:
        other = codes.copy()
        other[row] = place
        if not len(differing_rows(codes, other, representation.used_precision)):
            return True
    return False


def _not_repeatable(representation: RunningRepresentation, difference: float) -> KitError:
    return KitError(
        "REPRESENTATION-RANDOM",
        f"{representation.found.path} gives the same images other codes each time (they differ by "
        f"up to {difference:.3g})",
        "Return the posterior mean, not a sample, and keep no state between calls, or grade it all "
        "the same with --allow-unstable",
    )
