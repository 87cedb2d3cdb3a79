"""A SHA-256 for each batch of a table's rows, in a file beside the table.

It says which batches are there, and that they hold what was written. The digests are of the rows
and of what they were made from, so rows of another origin never pass.
"""

import functools
import hashlib
import json
import operator
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.common.devices import cores
from evaluation.common.files import whole_file

_BYTES = hashlib.sha256().digest_size
_BATCH_SIZE = np.dtype("<u8")
"""The file begins with the number of rows in a batch."""


class BatchDigests:
    """The digests of a table.

    Args:
        path: Their file.
        made_from: Everything that the table's rows depend on.
    """

    def __init__(self, path: Path, made_from: dict[str, Any]) -> None:
        self.path = path
        self._origin = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode())

    def read(self, rows: int) -> tuple[int, NDArray[np.uint8]] | None:
        """The batch size and the digests (batches, 32), zeros where a batch is missing.

        Args:
            rows: Rows of the table.

        Returns:
            None where there is no file, or none of such a table.
        """
        if not self.path.exists():
            return None
        content = np.fromfile(self.path, np.uint8)
        size, digests = content[: _BATCH_SIZE.itemsize], content[_BATCH_SIZE.itemsize :]
        if len(size) < _BATCH_SIZE.itemsize:
            return None
        batch_size = int(size.view(_BATCH_SIZE)[0])
        if batch_size == 0 or len(digests) != -(-rows // batch_size) * _BYTES:
            return None
        return batch_size, digests.reshape(-1, _BYTES)

    def write(self, batch_size: int, digests: NDArray[np.uint8]) -> None:
        """Replaces the file."""
        with whole_file(self.path) as temporary:
            size = np.array([batch_size], _BATCH_SIZE)
            temporary.write_bytes(size.tobytes() + digests.tobytes())

    @staticmethod
    def none(batches: int) -> NDArray[np.uint8]:
        """Digests (batches, 32) of batches that are all missing."""
        return np.zeros((batches, _BYTES), np.uint8)

    @staticmethod
    def place(number: int) -> int:
        """Where the digest of a batch begins in the file."""
        return _BATCH_SIZE.itemsize + number * _BYTES

    def of(self, rows: bytes | memoryview) -> bytes:
        """The digest of a batch's rows."""
        digest = self._origin.copy()
        digest.update(rows)
        return digest.digest()

    def wrong(
        self, table: Path, offset: int, row_bytes: int, batches: Sequence[slice], stored: NDArray
    ) -> list[int]:
        """Numbers of the batches whose rows in the file `table` do not have the stored digest.

        The file is read once, a batch at a time in each of a few threads.

        Args:
            offset: Where the first row begins in the file.
            stored: Digests (batches, 32).
        """
        with table.open("rb") as stream:

            def is_wrong(number: int) -> bool:
                start, stop = batches[number].start, batches[number].stop
                place, length = offset + start * row_bytes, (stop - start) * row_bytes
                rows = os.pread(stream.fileno(), length, place)
                return self.of(rows) != stored[number].tobytes()

            def wrong_among(numbers: range) -> list[int]:
                return [number for number in numbers if is_wrong(number)]

            threads = cores()
            shares = [range(len(batches))[part::threads] for part in range(threads)]
            with ThreadPoolExecutor(threads, thread_name_prefix="digests") as pool:
                return sorted(functools.reduce(operator.iadd, pool.map(wrong_among, shares), []))


def missing(digests: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which batches (batches,) have no digest."""
    return np.asarray(~digests.any(1))
