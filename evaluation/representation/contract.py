"""Whether codes can stand for images: each image's codes must depend on that image alone.

The grader encodes each image once. That gives the challenge's scores only if an image has the same
codes whenever it is encoded, and whatever else is in the batch (a batch norm left in training mode
breaks this). Differences as large as floating-point noise are allowed.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from evaluation.common.errors import KitError
from evaluation.representation.limits import ANSWER_BATCH
from evaluation.representation.running import Representation

PROBE_IMAGES = 2 * ANSWER_BATCH
"""Images that the checks here need."""


def differ(codes: NDArray, other: NDArray, precision: str = "float32") -> float | None:
    """The largest difference between two arrays of codes (n, dims) if it exceeds noise, else None.

    In float32 noise is a little of the reach of a dim and, since rounding in a network reaches all
    dims alike, of the largest; it must be lost in the spread over images. bf16 rounds 65,536 times
    as coarsely, and is only asked to leave most of the spread.
    """
    codes = codes.astype(np.float64)  # squares of large codes have no place in float32
    reach, spread = np.abs(codes).max(axis=0), codes.std(axis=0)
    if precision == "bf16":
        allowed = 0.2 * (spread + spread.max() / 10)
    else:
        allowed = 1e-3 * spread + 1e-5 * reach + 2e-6 * reach.max()
    difference = np.abs(codes - other)
    return float(difference.max()) if (difference > allowed).any() else None


def violations(representation: Representation, images: NDArray[np.uint8]) -> Iterator[KitError]:
    """What the representation does wrong on PROBE_IMAGES different images, one after another.

    Raises:
        KitError: as `Representation.encode`.
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


def drift(
    representation: Representation, images: NDArray[np.uint8], codes: NDArray
) -> Iterator[KitError]:
    """Whether images are encoded as they were earlier, when they got `codes`."""
    difference = differ(codes, representation.encode(images), representation.used_precision)
    if difference is not None:
        yield _not_repeatable(representation, difference)


def _not_repeatable(representation: Representation, difference: float) -> KitError:
    return KitError(
        "REPRESENTATION-RANDOM",
        f"{representation.found.path} gives the same images other codes each time (they differ by "
        f"up to {difference:.3g})",
        "Return the posterior mean, not a sample, and keep no state between calls, or grade it all "
        "the same with --allow-unstable",
    )
