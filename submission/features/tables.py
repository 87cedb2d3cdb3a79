"""A table of float32 rows that several processes fill batch by batch, in a file or in memory.

A file that is not whole has a hidden name. The digests of its finished batches lie beside it. So a
killed job continues from these batches, with any number of processes. The file gets its final name
when it is whole. Each time it is opened, its rows are compared with their digests, and damaged
batches are computed again.
"""

import json
import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.common.devices import Placement
from evaluation.common.errors import KitError
from evaluation.common.files import free_bytes, readable_size, reserve, write_json
from evaluation.common.npy import header_of
from evaluation.common.terminal import console
from submission.features.batch_digests import BatchDigests, missing
from submission.runtime import distributed

Compute = Callable[[Sequence[slice]], Iterable[NDArray[np.float32]]]
"""Takes slices of the table, and gives the rows of each, in order."""


def table_on_disk(
    path: Path, made_from: dict[str, Any], shape: Sequence[int], batch_size: int, compute: Compute
) -> NDArray[np.float32]:
    """The table in the file `path`, as a read-only memory map.

    Batches that are missing, damaged or out of date are computed first.

    Args:
        path: The file; its folder holds only this table.
        made_from: All that the rows depend on, as JSON.
        shape: Shape of the table, (N, ...).
        batch_size: Rows of a batch.
        compute: Computes the rows of batches.

    Raises:
        KitError: `FEATURES-DISK`, the disk has no room for it.
    """
    table = _Table(path, made_from, shape, batch_size)
    path.parent.mkdir(parents=True, exist_ok=True)
    with distributed.only_group(path.parent):
        if distributed.is_main():
            table.open()
        distributed.barrier()
        # The first process has locked the folder, so all processes of the group see the same files.
        if table.partial.exists():
            table.fill(compute)
            distributed.barrier()
            if distributed.is_main():
                table.finish()
        distributed.barrier()
    return np.load(path, mmap_mode="r")


class _Table:
    """The file of a table: opened by the first process, filled by all, finished by the first."""

    def __init__(
        self, path: Path, made_from: dict[str, Any], shape: Sequence[int], batch_size: int
    ) -> None:
        self.path = path
        self.partial = path.with_name(f".{path.stem}.partial.npy")
        self._record = path.with_suffix(".json")
        self._made_from = made_from
        self._digests = BatchDigests(path.with_suffix(".digests"), made_from)
        self._rows = shape[0]
        self._batch_size = batch_size
        self._header = header_of(shape, np.float32)
        self._row_bytes = 4 * math.prod(shape[1:])
        self._size = len(self._header) + self._rows * self._row_bytes

    def open(self) -> None:
        """Checks the files. If a batch must be computed, a partial file exists afterwards."""
        damaged = self.path.exists()
        if damaged and self._is_whole():
            console.print(f"Reusing {self.path}", markup=False)
            self.partial.unlink(missing_ok=True)
            self._write_record()
            return
        if damaged:
            self.path.replace(self.partial)
        digests = self._digests_of_partial()
        left = int(missing(digests).sum())
        if damaged:
            what = (
                f"{self.path} does not match its digests: extracting {left} of its "
                f"{len(digests)} batches again"
            )
        elif left < len(digests):
            what = f"Continuing {self.path}"
        else:
            what = f"Writing {readable_size(self._size)} of features to {self.path}"
        console.print(what, markup=False)
        self._reserve()
        self._digests.write(self._batch_size, digests)

    def fill(self, compute: Compute) -> None:
        """Computes this process's share of the batches that have no digest."""
        stored = self._digests.read(self._rows)
        assert stored is not None
        batches = _batches(self._rows, self._batch_size)
        is_missing = missing(stored[1])
        own = range(len(batches))[distributed.share(len(batches))]
        numbers = [number for number in own if is_missing[number]]
        with (
            self.partial.open("rb+", buffering=0) as rows_file,
            self._digests.path.open("rb+", buffering=0) as digests_file,
        ):
            rows_of = compute([batches[number] for number in numbers])
            for number, rows in zip(numbers, rows_of, strict=True):
                # Not written through a memory map, because its pages count as this process's
                # memory. After a power cut a digest may lack its rows; `open` notices that.
                content = np.ascontiguousarray(rows).data.cast("B")
                place = len(self._header) + batches[number].start * self._row_bytes
                os.pwrite(rows_file.fileno(), content, place)
                digest = self._digests.of(content)
                os.pwrite(digests_file.fileno(), digest, self._digests.place(number))

    def finish(self) -> None:
        """Renames the whole table to its final name."""
        with self.partial.open("rb") as stream:
            os.fsync(stream.fileno())
        self._write_record()
        self.partial.replace(self.path)

    def _is_whole(self) -> bool:
        """Whether the file holds all rows undamaged, for any batch size of the run that made it."""
        stored = self._digests.read(self._rows)
        if stored is None or self.path.stat().st_size != self._size:
            return False
        with self.path.open("rb") as stream:
            if stream.read(len(self._header)) != self._header:
                return False
        return not self._wrong(self.path, *stored)

    def _digests_of_partial(self) -> NDArray[np.uint8]:
        """Digests (batches, 32), zeros for the batches that the partial file does not hold."""
        stored = self._digests.read(self._rows)
        # An earlier run on another device may have had another batch size.
        if stored is None or stored[0] != self._batch_size or not self.partial.exists():
            return self._digests.none(len(_batches(self._rows, self._batch_size)))
        digests = stored[1].copy()
        digests[self._wrong(self.partial, *stored)] = 0
        return digests

    def _wrong(self, table: Path, batch_size: int, digests: NDArray[np.uint8]) -> list[int]:
        batches = _batches(self._rows, batch_size)
        return self._digests.wrong(table, len(self._header), self._row_bytes, batches, digests)

    def _reserve(self) -> None:
        """Gives the partial file its header and its size, so that a full disk is noticed now.

        Raises:
            KitError: `FEATURES-DISK`, the disk has no room.
        """
        there = self.partial.stat().st_blocks * 512 if self.partial.exists() else 0
        free = free_bytes(self.path.parent)
        if self._size - there > free:
            raise KitError(
                "FEATURES-DISK",
                f"{self.path.parent} has {readable_size(free)} free, but the features need "
                f"{readable_size(self._size - there)}",
                "Set --features-dir to a folder with more room, or set a smaller main.dataset_size",
            )
        reserve(self.partial, self._size)
        with self.partial.open("rb+") as stream:
            stream.write(self._header)

    def _write_record(self) -> None:
        """Writes what the table was made from, for people to read. The kit uses the digests."""
        text = json.dumps(self._made_from, indent=2) + "\n"
        if not self._record.exists() or self._record.read_bytes() != text.encode():
            write_json(self._record, self._made_from)


def table_in_memory(
    shape: Sequence[int], batch_size: int, compute: Compute, placement: Placement
) -> NDArray[np.float32]:
    """The same table in memory. Under torchrun the processes exchange their rows on the device.

    Args:
        shape: Shape of the table, (N, ...).
        batch_size: Rows of a batch.
        compute: Computes the rows of batches.
        placement: The device for the exchange.
    """
    table = np.zeros(shape, np.float32)
    batches = _batches(shape[0], batch_size)
    own = batches[distributed.share(len(batches))]
    for batch, rows in zip(own, compute(own), strict=True):
        table[batch] = rows
    if distributed.world_size() == 1:
        return table
    own_rows = torch.from_numpy(table).to(placement.device)
    return distributed.sum_over_processes(own_rows).cpu().numpy()


def _batches(total: int, batch_size: int) -> list[slice]:
    return [slice(start, min(start + batch_size, total)) for start in range(0, total, batch_size)]
