"""A table of float32 rows that several processes fill batch by batch, in a file or in memory.

While a file grows it is hidden, with a byte a batch beside it that says which rows are there. A job
that was killed goes on from these, whatever the number of processes; the table appears under its
name when it is whole, beside a record of what it was made from.
"""

import json
import math
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.common.devices import Placement
from evaluation.common.errors import KitError
from evaluation.common.files import free_bytes, locked, write_json
from evaluation.common.terminal import console
from submission.runtime import distributed

Compute = Callable[[Sequence[slice]], Iterable[NDArray[np.float32]]]
"""Gives the rows of each of the slices, in their order."""

_BATCHES_BETWEEN_MARKS = 16


def table_on_disk(
    path: Path, made_from: dict[str, Any], shape: Sequence[int], batch_size: int, compute: Compute
) -> NDArray[np.float32]:
    """The table at `path`, in a folder of its own, mapped for reading.

    It is filled first if it is not there or was made from something else.

    Raises:
        KitError: the disk has no room for it.
    """
    partial = path.with_name(f".{path.stem}.partial.npy")
    marks = partial.with_suffix(".done")
    batches = _batches(shape[0], batch_size)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent, path.parent.name) if distributed.is_main() else nullcontext():
        if distributed.is_main() and _is_made_from(path, made_from):
            console.print(f"Reusing {path}", markup=False)
            partial.unlink(missing_ok=True)
        elif distributed.is_main():
            _start(partial, marks, shape, len(batches), path)
        distributed.barrier()
        # The first process keeps others out, so all of this group see the same.
        if partial.exists():
            _fill(partial, marks, batches, compute)
            distributed.barrier()
            if distributed.is_main():
                write_json(path.with_suffix(".json"), made_from)
                partial.replace(path)
                marks.unlink()
        distributed.barrier()
    return np.load(path, mmap_mode="r")


def table_in_memory(
    shape: Sequence[int], batch_size: int, compute: Compute, placement: Placement
) -> NDArray[np.float32]:
    """The same rows in memory; processes exchange theirs by way of the device."""
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


def _is_made_from(path: Path, made_from: dict[str, Any]) -> bool:
    record = path.with_suffix(".json")
    return path.exists() and record.exists() and json.loads(record.read_text()) == made_from


def _start(partial: Path, marks: Path, shape: Sequence[int], batches: int, path: Path) -> None:
    # A device that takes larger batches divides the rows in another way.
    if partial.exists() and marks.exists() and marks.stat().st_size == batches:
        console.print(f"Going on with {path}", markup=False)
        return
    size = 4 * math.prod(shape)
    console.print(f"Writing {size / 1e9:,.2f} GB of features to {path}", markup=False)
    if size > free_bytes(path.parent):
        raise KitError(
            "FEATURES-DISK",
            f"{path.parent} has {free_bytes(path.parent) / 1e9:,.2f} GB free, and the features "
            f"need {size / 1e9:,.2f} GB",
            "Give --features-dir a folder with more room, or set a smaller main.dataset_size",
        )
    np.lib.format.open_memmap(partial, "w+", np.float32, tuple(shape))
    with partial.open("rb+") as stream:
        # Reserved now, since a disk that fills up under a memory map kills the process.
        os.posix_fallocate(stream.fileno(), 0, partial.stat().st_size)
    marks.write_bytes(bytes(batches))


def _fill(partial: Path, marks: Path, batches: Sequence[slice], compute: Compute) -> None:
    table = np.load(partial, mmap_mode="r+")
    row_bytes = table[:1].nbytes
    done = marks.read_bytes()
    own = range(len(batches))[distributed.share(len(batches))]
    missing = [number for number in own if not done[number]]
    with partial.open("rb+", buffering=0) as rows_file, marks.open("rb+", buffering=0) as mark_file:
        unmarked = []
        rows_of = compute([batches[number] for number in missing])
        for number, rows in zip(missing, rows_of, strict=True):
            # Written to the file, not through the map: mapped pages count as this process's memory.
            start = table.offset + batches[number].start * row_bytes
            os.pwrite(rows_file.fileno(), np.ascontiguousarray(rows).data, start)
            unmarked.append(number)
            if len(unmarked) == _BATCHES_BETWEEN_MARKS or number == missing[-1]:
                os.fsync(rows_file.fileno())
                for written in unmarked:
                    os.pwrite(mark_file.fileno(), b"\1", written)
                unmarked = []
