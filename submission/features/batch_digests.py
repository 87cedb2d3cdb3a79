"""A SHA-256 for each batch of a table's rows, in a file beside the table.

The digests show which batches are written, and whether they are undamaged. A digest covers the rows
and all that they were made from, so it never accepts rows with another origin.
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
"""The type of the number of rows in a batch, with which the file begins."""


class BatchDigests:
    """The digests of a table.

    Args:
        path: The file of digests.
        made_from: All that the table's rows depend on, as JSON.
    """

    def __init__(self, path: Path, made_from: dict[str, Any]) -> None:
        self.path = path
        self._origin = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode())

    def read(self, rows: int) -> tuple[int, NDArray[np.uint8]] | None:
        """Reads the file.

        Args:
            rows: Number of rows of the table.

        Returns:
            The batch size, and the digests (batches, 32), zeros for a missing batch. None if there
            is no file, or the file of a table with another number of rows.
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
        """Replaces the file by digests (batches, 32)."""
        with whole_file(self.path) as temporary:
            size = np.array([batch_size], _BATCH_SIZE)
            temporary.write_bytes(size.tobytes() + digests.tobytes())

    @staticmethod
    def none(batches: int) -> NDArray[np.uint8]:
        """Digests (batches, 32) that mark all batches as missing."""
        return np.zeros((batches, _BYTES), np.uint8)

    @staticmethod
    def place(number: int) -> int:
        """The position in bytes of the digest of batch `number` in the file."""
        return _BATCH_SIZE.itemsize + number * _BYTES

    def of(self, rows: bytes | memoryview) -> bytes:
        """The digest of a batch's rows."""
        digest = self._origin.copy()
        digest.update(rows)
        return digest.digest()

    def wrong(
        self, table: Path, offset: int, row_bytes: int, batches: Sequence[slice], stored: NDArray
    ) -> list[int]:
        """The sorted numbers of the batches whose rows do not have the stored digest.

        Several threads read the file, a batch at a time.

        Args:
            table: The file of the table.
            offset: The position in bytes of the first row in it.
            row_bytes: Bytes of a row.
            batches: The rows of each batch.
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
    """Mask (batches,) of the batches that have no digest."""
    return np.asarray(~digests.any(1))
