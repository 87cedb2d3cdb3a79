"""Moves batches of images from a dataset's file to the device. A thread reads the next batch."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluation.common.devices import Placement

Read = Callable[[NDArray[np.int64]], NDArray]
"""Reads images (n, H, W, 3) of the numbers (n,), uint8 from 0 to 255 or float32 in [0, 1]."""


def image_batches(
    read: Read, batches: Iterable[NDArray[np.int64]], placement: Placement
) -> Iterator[Tensor]:
    """Yields the images of each batch of numbers (n,): float32 (n, 3, H, W) in [0, 1].

    They are on the device, with channels last in memory.
    """
    pending: Future[Tensor] | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="images") as reader:
        for numbers in batches:
            upcoming = reader.submit(_host_batch, read, numbers, placement.kind == "cuda")
            if pending is not None:
                yield _on_device(pending.result(), placement.device)
            pending = upcoming
        if pending is not None:
            yield _on_device(pending.result(), placement.device)


def _host_batch(read: Read, numbers: NDArray[np.int64], pinned: bool) -> Tensor:
    batch = torch.from_numpy(read(numbers))
    return batch.pin_memory() if pinned else batch


def _on_device(batch: Tensor, device: str) -> Tensor:
    # Bytes are copied to the device and converted there: floats are four times as large.
    images = batch.to(device, non_blocking=True).permute(0, 3, 1, 2)
    return images.float().div_(255) if images.dtype == torch.uint8 else images
