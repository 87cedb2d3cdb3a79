"""What a submission says of its reconstructions: for some images the nearest to what it decoded.

The file is a participant's work. It can choose among the dataset's images, and nothing else.
"""

from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from evaluation.report.pictures import Picture, strip
from evaluation.report.shown_data import ShownData
from evaluation.representation.reading import text_below
from evaluation.scores import Report

_NAME = "reconstructions.json"
_MOST_BYTES = 20_000
_A_STRIP = 8

_Numbers = Annotated[
    list[Annotated[int, Meta(ge=0, lt=1 << 40)]], Meta(min_length=1, max_length=48)
]


class _Written(Struct, frozen=True):
    representation: str
    dataset: str
    images: _Numbers
    nearest: _Numbers


class Reconstructions(NamedTuple):
    """Images (n,), and for each the image nearest to its reconstruction (n,)."""

    images: NDArray[np.int64]
    nearest: NDArray[np.int64]


class Shown(NamedTuple):
    """Reconstructions as a page shows them.

    Args:
        strips: Pairs of pictures: some images, and below each the nearest to its reconstruction.
        kept: The factors' names, and in which share of the images each kept its value.
        itself: In how many of the images the nearest is the image itself.
        number: Of how many.
    """

    strips: list[tuple[Picture, Picture]]
    kept: list[tuple[str, float]]
    itself: int
    number: int


def written_text(experiment: Path | None) -> str | None:
    """What the training left in its folder, if that is no link and not huge."""
    return None if experiment is None else text_below(experiment, _NAME, _MOST_BYTES)


def read_reconstructions(
    text: str | None, report: Report, data: ShownData
) -> Reconstructions | None:
    """What a text says, if it is of the same representation and dataset, and in its range."""
    try:
        found = msgspec.json.decode(text or "", type=_Written)
    except ValueError:  # msgspec's errors are ValueErrors
        return None
    images, nearest = np.array(found.images), np.array(found.nearest)
    fits = (
        found.representation == report.representation.sha256
        and found.dataset == report.made_from.data
        and len(images) == len(nearest)
        and max(images.max(), nearest.max()) < data.rows
    )
    return Reconstructions(images, nearest) if fits else None


def show(found: Reconstructions, data: ShownData) -> Shown:
    """The images side by side, and which factors the reconstructions keep."""
    strips = []
    for start in range(0, len(found.images), _A_STRIP):
        part = slice(start, start + _A_STRIP)
        strips.append(
            (
                strip(data, found.images[part], "Images of the dataset."),
                strip(data, found.nearest[part], "The images nearest to their reconstructions."),
            )
        )
    same = data.factors_of(found.images) == data.factors_of(found.nearest)
    kept = [
        (name, float(share)) for name, share in zip(data.factor_names, same.mean(0), strict=True)
    ]
    return Shown(strips, kept, int((found.images == found.nearest).sum()), len(found.images))
