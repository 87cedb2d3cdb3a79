"""Codes in files: tables from the user, and codes that the kit encoded before."""

import json
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.codes import ledger
from evaluation.codes.files import open_table, read_table, unreadable
from evaluation.codes.token_codes import TokenCodes, Unreduced
from evaluation.common.errors import KitError
from evaluation.common.files import sha256_of, whole_file
from evaluation.data.factor_table import Gradable
from evaluation.metrics.tables.tokens import Components
from evaluation.representation.finite import first_nonfinite_row
from evaluation.representation.limits import Limits


def read_codes(path: Path, data: Gradable, most_dims: int = Limits.dims) -> NDArray:
    """The codes (n, dims), or (n, tokens, width), in a file, a row an image in the dataset's order.

    Args:
        most_dims: The largest number of columns that is allowed.

    Raises:
        KitError: `CODES-UNREADABLE`, `CODES-SHAPE` or `CODES-DTYPE`, as in `files.open_table`, or
            not one row for each image; `CODES-NONFINITE`, NaN or an infinity.
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
            f"{path} holds NaN, infinity or a value beyond float32's range, first in row {row}",
            "Give finite codes for every image",
        )
    return codes


def digest_of_codes(path: Path, most_dims: int = Limits.dims) -> str:
    """The hexadecimal SHA-256 of a file with a table of codes, after a check of shape and type.

    Raises:
        KitError: as in `files.open_table`.
    """
    open_table(path, most_dims)
    try:
        return sha256_of(path)
    except OSError as error:
        raise unreadable(path, error) from None


_TOKENS = "tokens_"
"""What the names of the arrays that belong to tokens begin with."""


@dataclass(frozen=True)
class Kept:
    """Codes that an earlier run stored.

    Args:
        indices: The images' numbers (n,) in the grid.
        codes: Their codes (n, dims).
        checked: Mask (n,) of the codes that a second run has confirmed.
        tokens: What made tokens numbers; None where the representation gives numbers.
    """

    indices: NDArray[np.int64]
    codes: NDArray
    checked: NDArray[np.bool_]
    tokens: TokenCodes | None = None


class CodeStore:
    """The codes of one representation on one dataset, in a `.npz` file.

    Args:
        path: The file; it may be absent.
        made_from: All that the codes depend on, as JSON. A file made from anything else, or not
            written by this checkout, is not read.

    Attributes:
        kept_at: When codes were last written, in seconds of the monotonic clock.
    """

    def __init__(self, path: Path, made_from: Mapping[str, Any]) -> None:
        self.path = path
        self._made_from = json.dumps(made_from, sort_keys=True)
        self.kept_at = time.monotonic()

    def recall(self) -> Kept | None:
        """The stored codes, or None if there are none that may be used."""
        return _read_if(self.path, lambda made_from: made_from == self._made_from)

    def keep(
        self,
        indices: NDArray[np.int64],
        codes: NDArray,
        checked: NDArray[np.bool_],
        tokens: TokenCodes | None = None,
    ) -> None:
        """Replaces the file's content by numbers (n,) and their codes (n, dims).

        Args:
            checked: Mask over the whole grid of the codes that a second run has confirmed.
            tokens: What made tokens numbers.
        """
        with whole_file(self.path) as temporary:
            np.savez(
                temporary,
                indices=indices,
                codes=codes,
                checked=checked[indices],
                made_from=self._made_from,
                **_arrays_of(tokens),
            )
            ledger.enter(temporary)
        self.kept_at = time.monotonic()


def kept_codes(
    path: Path, representation: str, kind: str, fingerprint: str
) -> tuple[NDArray[np.int64], NDArray] | None:
    """Numbers (n,) and codes (n, d) that the grader kept in a file, to be looked at again.

    Args:
        representation: The hash of what gave them.
        kind: How that was run.
        fingerprint: That of the dataset.
    """

    def is_same(made_from: str) -> bool:
        content = json.loads(made_from)
        found = content["representation"], content.get("kind"), content["data"]
        return found == (representation, kind, fingerprint)

    kept = _read_if(path, is_same)
    return None if kept is None else (kept.indices, kept.codes)


def _read_if(path: Path, is_wanted: Callable[[str], bool]) -> Kept | None:
    """The codes in a file of this checkout, if what they were made from is what is wanted.

    None if the file is absent or damaged as well: its images are then encoded again.
    """
    if not ledger.has(path):
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            if is_wanted(str(stored["made_from"])):
                return Kept(
                    stored["indices"], stored["codes"], stored["checked"], _tokens_of(stored)
                )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass
    return None


def _arrays_of(tokens: TokenCodes | None) -> dict[str, Any]:
    if tokens is None:
        return {}
    return {
        f"{_TOKENS}{name}": array
        for name, array in {**tokens.components._asdict(), **tokens.kept._asdict()}.items()
    }


def _tokens_of(stored: Mapping[str, NDArray]) -> TokenCodes | None:
    if f"{_TOKENS}{Components._fields[0]}" not in stored:
        return None
    components, unreduced = (
        [stored[f"{_TOKENS}{name}"] for name in fields]
        for fields in (Components._fields, Unreduced._fields)
    )
    return TokenCodes(Components(*components), Unreduced(*unreduced))
