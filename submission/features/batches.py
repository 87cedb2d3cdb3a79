"""Moves batches of images from a dataset's file to the device, and results back to the host.

Threads read the next batches. On a GPU, copies in both directions overlap with the computation.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluation.common.devices import Placement

Read = Callable[[NDArray[np.int64]], NDArray]
"""Reads images (n, H, W, 3) of the numbers (n,), uint8 from 0 to 255 or float32 in [0, 1]. Several
threads may call it at once."""

_READERS = {"cpu": 1, "cuda": 4}
"""Threads that read. On a CPU, more of them would take cores from the network."""


def in_batches(numbers: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Numbers (n,) in batches of `size`, the last perhaps smaller."""
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]


def image_batches(
    read: Read, batches: Iterable[NDArray[np.int64]], placement: Placement
) -> Iterator[Tensor]:
    """Yields the images of each batch of numbers (n,): float32 (n, 3, H, W) in [0, 1].

    They are on the device, with channels last in memory.
    """
    on_gpu = placement.kind == "cuda"
    # Pinned memory belongs to the current device, which a new thread has to choose again.
    choose = partial(torch.cuda.set_device, placement.device) if on_gpu else None
    copied = _Copies(placement.device) if on_gpu else partial(torch.Tensor.to, device="cpu")
    readers = _READERS[placement.kind]
    pending: deque[Future[Tensor]] = deque()
    with ThreadPoolExecutor(readers, "images", initializer=choose) as pool:
        for numbers in batches:
            pending.append(pool.submit(_host_batch, read, numbers, on_gpu))
            if len(pending) > readers:
                yield _as_images(copied(pending.popleft().result()))
        while pending:
            yield _as_images(copied(pending.popleft().result()))


def to_device(array: NDArray, placement: Placement) -> Tensor:
    """The array on the device. A GPU is not waited for."""
    tensor = torch.from_numpy(array)
    if placement.kind != "cuda":
        return tensor
    # From memory that is not pinned, the copy would begin when all earlier work has ended.
    return tensor.pin_memory().to(placement.device, non_blocking=True)


def arrays(batches: Iterable[Tensor]) -> Iterator[NDArray[np.float32]]:
    """Each batch as an array in memory. A GPU computes the next batch while an array is used."""
    before: tuple[Tensor, torch.cuda.Event] | None = None
    for batch in batches:
        if not batch.is_cuda:
            yield batch.float().numpy()
            continue
        host = torch.empty(batch.shape, pin_memory=True)
        host.copy_(batch, non_blocking=True)
        copied = torch.cuda.current_stream(batch.device).record_event()
        if before is not None:
            yield _finished(*before)
        before = host, copied
    if before is not None:
        yield _finished(*before)


class _Copies:
    """Copies to a GPU on a stream of its own, so that the GPU computes meanwhile."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def __call__(self, batch: Tensor) -> Tensor:
        with torch.cuda.stream(self._stream):
            copied = batch.to(self._device, non_blocking=True)
        computing = torch.cuda.current_stream(self._device)
        computing.wait_stream(self._stream)
        copied.record_stream(computing)  # its memory must not be used again before that
        return copied


def _host_batch(read: Read, numbers: NDArray[np.int64], pinned: bool) -> Tensor:
    batch = torch.from_numpy(read(numbers))
    return batch.pin_memory() if pinned else batch


def _as_images(batch: Tensor) -> Tensor:
    # Bytes are copied to the device and converted there: floats are four times as large.
    images = batch.permute(0, 3, 1, 2)
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def _finished(host: Tensor, copied: torch.cuda.Event) -> NDArray[np.float32]:
    copied.synchronize()
    return host.numpy()
