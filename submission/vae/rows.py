"""Gives rows of a feature table, by their numbers, on the device for training."""

import mmap
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluation.common.devices import Placement
from submission.features.batches import to_device

_PART_OF_FREE_MEMORY = 0.5
"""The part of a GPU's free memory that the features may take; the rest is for the network."""

_ROWS_BETWEEN_RELEASES = 8192


class Table(Protocol):
    """Features (N, ...) as float32: an array, or what reads the rows that it is asked for."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def nbytes(self) -> int: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: NDArray[np.int64] | slice, /) -> NDArray[np.float32]: ...


class Rows:
    """The rows of a table. The whole table is put on the GPU if it fits.

    Args:
        features: The table (N, ...), such as an array in memory or a memory map of a file.
        placement: Where training runs.
    """

    def __init__(self, features: Table, placement: Placement) -> None:
        self._features = features
        self.device = placement.device
        self._placement = placement
        self._read = 0
        self._resident = self._on_device() if self._fits() else None

    def __len__(self) -> int:
        return len(self._features)

    def __getitem__(self, numbers: Tensor) -> Tensor:
        """Rows (n, ...) of the numbers (n,)."""
        if self._resident is not None:
            return self._resident[numbers]
        batch = self._features[numbers.cpu().numpy()]
        self._release(len(batch))
        return to_device(batch, self._placement)

    def _fits(self) -> bool:
        if self._placement.kind != "cuda":
            return False
        free, _ = torch.cuda.mem_get_info(self.device)
        return self._features.nbytes < _PART_OF_FREE_MEMORY * free

    def _on_device(self) -> Tensor:
        table = torch.empty(self._features.shape, device=self.device)
        for start in range(0, len(table), _ROWS_BETWEEN_RELEASES):
            part = np.array(self._features[start : start + _ROWS_BETWEEN_RELEASES])
            table[start : start + len(part)] = torch.from_numpy(part)
            self._release(len(part))
        return table

    def _release(self, rows: int) -> None:
        """Gives the pages of the memory map back to the kernel after every 8192 rows."""
        self._read += rows
        mapped = getattr(self._features, "_mmap", None)
        if self._read >= _ROWS_BETWEEN_RELEASES and isinstance(mapped, mmap.mmap):
            mapped.madvise(mmap.MADV_DONTNEED)
            self._read = 0
