"""Codes in files: tables that a user brings, and what was encoded before."""

import json
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation import ledger
from evaluation.codes.files import open_table, read_table, unreadable
from evaluation.common.errors import KitError
from evaluation.common.files import sha256_of, whole_file
from evaluation.data.factor_table import Gradable
from evaluation.representation.finite import first_nonfinite_row
from evaluation.representation.limits import Limits


def read_codes(path: Path, data: Gradable, most_dims: int = Limits.dims) -> NDArray:
    """The codes (n, dims), or (n, tokens, width), in a file, a row an image in the dataset's order.

    Raises:
        KitError: it cannot be read as a table, see `files`, or is not one finite row an image.
    """
    table = open_table(path, most_dims)
    if table.shape[0] != len(data):
        raise KitError(
            "CODES-SHAPE",
            f"{path} holds an array of shape {table.shape}; {data.name} has {len(data):,} images",
            "Give one row of codes for each image, in the dataset's order",
        )
    codes = read_table(path, table)
    row = first_nonfinite_row(codes.reshape(len(codes), -1))
    if row is not None:
        raise KitError(
            "CODES-NONFINITE",
            f"{path} holds NaN, infinity or what float32 cannot hold, first in row {row}",
            "Give finite codes for every image",
        )
    return codes


def digest_of_codes(path: Path, most_dims: int = Limits.dims) -> str:
    """The hash of a table of codes; one that cannot be graded is refused before it is read.

    Raises:
        KitError: it cannot be read, or is no table.
    """
    open_table(path, most_dims)
    try:
        return sha256_of(path)
    except OSError as error:
        raise unreadable(path, error) from None


@dataclass(frozen=True)
class Kept:
    """Codes that were kept.

    Args:
        indices: Numbers (n,) of the grid.
        codes: Their codes (n, dims).
        checked: Mask (n,) of those that stood the test of a second run.
    """

    indices: NDArray[np.int64]
    codes: NDArray
    checked: NDArray[np.bool_]


class CodeStore:
    """What one representation made of one dataset so far, in a `.npz` file.

    Args:
        path: The file; it need not be there.
        made_from: What the codes depend on; a file made from anything else, or not
            written here, is not read.

    Attributes:
        kept_at: When codes were last written, on the monotonic clock.
    """

    def __init__(self, path: Path, made_from: Mapping[str, Any]) -> None:
        self.path = path
        self._made_from = json.dumps(made_from, sort_keys=True)
        self.kept_at = time.monotonic()

    def recall(self) -> Kept | None:
        """What was kept, or None where there is nothing to be used."""
        if not ledger.has(self.path):
            return None
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                if str(stored["made_from"]) == self._made_from:
                    return Kept(stored["indices"], stored["codes"], stored["checked"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            pass  # absent or damaged: what it held is encoded again
        return None

    def keep(self, indices: NDArray[np.int64], codes: NDArray, checked: NDArray[np.bool_]) -> None:
        """Writes numbers (n,) and codes (n, dims) in place of what was there.

        Args:
            checked: Mask over the whole grid of the rows that stood the test of a second run.
        """
        with whole_file(self.path) as temporary:
            np.savez(
                temporary,
                indices=indices,
                codes=codes,
                checked=checked[indices],
                made_from=self._made_from,
            )
            ledger.enter(temporary)
        self.kept_at = time.monotonic()


def kept_codes(
    path: Path, representation: str, fingerprint: str
) -> tuple[NDArray[np.int64], NDArray] | None:
    """Numbers (n,) and codes (n, d) that the grader kept in a file, to be looked at again.

    Args:
        representation: The hash of what gave them.
        fingerprint: That of the dataset.
    """
    if not ledger.has(path):
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            made_from = json.loads(str(stored["made_from"]))
            same = (made_from["representation"], made_from["data"]) == (representation, fingerprint)
            return (stored["indices"], stored["codes"]) if same else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
