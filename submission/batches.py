"""Batches of images from a dataset's memory map to the device, read one ahead by a thread."""

import mmap
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def image_batches(
    images: NDArray[np.uint8], batches: Iterable[NDArray[np.int64]], device: torch.device
) -> Iterator[Tensor]:
    """Yields each batch of indices as float32 (n, 3, H, W) in [0, 1], channels-last in memory."""
    pending: Future[Tensor] | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="images") as reader:
        for indices in batches:
            upcoming = reader.submit(_read, images, indices, device.type == "cuda")
            if pending is not None:
                yield _on_device(pending.result(), device)
            pending = upcoming
        if pending is not None:
            yield _on_device(pending.result(), device)


def _read(images: NDArray[np.uint8], indices: NDArray[np.int64], pinned: bool) -> Tensor:
    batch = torch.from_numpy(np.ascontiguousarray(images[indices]))
    # Pages of the map that were read stay in this process's memory until they are given back.
    if isinstance(images.base, mmap.mmap):
        images.base.madvise(mmap.MADV_DONTNEED)
    return batch.pin_memory() if pinned else batch


def _on_device(batch: Tensor, device: torch.device) -> Tensor:
    # Four times less to copy as bytes than as floats.
    return batch.to(device, non_blocking=True).permute(0, 3, 1, 2).float().div_(255)
