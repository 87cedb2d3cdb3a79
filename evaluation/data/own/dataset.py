"""A dataset of the user's own: rows of factors, and an image of each if there are any."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from evaluation.common.errors import KitError
from evaluation.common.images import ImageFormat
from evaluation.data.factor_columns import FactorColumn, Kind, read_columns
from evaluation.data.factor_table import FactorTable, Numbered, open_table
from evaluation.data.own.factor_files import Columns


class Images(Protocol):
    """Images (n, height, width, channels) that are indexed like an array by numbers (m,)."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

    def __getitem__(self, indices: NDArray[np.int64]) -> NDArray: ...


class OwnData:
    """Rows with factors, full grid or not, and an image of each.

    Args:
        name: What it is called in the scores.
        columns: The factors.
        images: One a row; None where there are codes only.
        digest: Hexadecimal, of the images.
        told: Names of the factors whose kind was told.

    Attributes:
        numbered: The rows as the metrics take them.
        fingerprint: Hexadecimal digest that changes when factors or images do.
        flags: The flags of a command that name the data; set by who opens them for one.

    Raises:
        ValueError: the rows are too few, or a factor is none.
    """

    def __init__(
        self,
        name: str,
        columns: Sequence[FactorColumn],
        images: Images | None = None,
        digest: str = "",
        told: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.flags: tuple[str, ...] = ()
        self.columns = list(columns)
        self.numbered: Numbered = open_table(columns, told)
        self._images = images
        self.fingerprint = _digest(columns, f"{name} {self.full_grid} {digest}")

    def __len__(self) -> int:
        return len(self.numbered)

    @property
    def factor_sizes(self) -> tuple[int, ...]:
        return self.numbered.factor_sizes

    @property
    def full_grid(self) -> bool:
        return not isinstance(self.numbered, FactorTable)

    @property
    def has_images(self) -> bool:
        return self._images is not None

    @property
    def image_format(self) -> ImageFormat:
        return ImageFormat.of(self._there())

    def images_at(self, indices: NDArray[np.int64]) -> NDArray:
        """Images (n, height, width, channels) of the rows (n,), as they are stored."""
        return self._there()[indices]

    def _there(self) -> Images:
        if self._images is None:
            raise KitError(
                "DATA-NO-IMAGES",
                f"{self.name} has factors and no images, so that a representation cannot be run",
                "Give --codes, or a dataset with images by --dataset",
            )
        return self._images


def own_data(
    path: Path,
    factors: Columns,
    kinds: Mapping[str, Kind],
    images: Images | None = None,
    digest: str = "",
) -> OwnData:
    """Factors and images that were read from a path.

    Raises:
        KitError: the factors are none, or their rows are not those of the images.
    """
    rows = len(next(iter(factors.values()), ()))
    if images is not None and images.shape[0] != rows:
        raise KitError(
            "DATA-ROWS",
            f"{path} has {images.shape[0]:,} images and {rows:,} rows of factors",
            "Give one row of factors for each image, in the same order",
        )
    try:
        columns = read_columns(factors, kinds)
        return OwnData(path.name, columns, images, digest, told=list(kinds))
    except ValueError as error:
        raise KitError(
            "FACTORS-VALUES",
            f"{path}: {str(error).removesuffix('.')}",
            "Mend the table, or choose its factors by --factor-columns and their kinds by"
            " --factor-kinds",
        ) from None


def _digest(columns: Sequence[FactorColumn], images: str) -> str:
    digest = hashlib.sha256(images.encode())
    for column in columns:
        digest.update(repr((column.name, column.value_names)).encode())
        digest.update(np.ascontiguousarray(column.values).tobytes())
    return digest.hexdigest()
