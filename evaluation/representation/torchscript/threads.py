"""Computes batches at once, each in a thread of its own."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    run: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Iterator[Result]:
    """Yields `run` of each item, in their order.

    PyTorch itself shares every operation among its threads. But an operation takes less than a
    millisecond, and then all threads wait for the last one. If other work takes a core, that is
    long: on two cores, of which other work wanted one, VGG19 took up to ten times as long with two
    threads as with one.

    Args:
        run: Computes an item with PyTorch. Several threads call it at once.
        items: What to compute; taken as they are needed, in the calling thread.
        threads: Items at once. They share PyTorch's threads.
    """
    if threads < 2:
        yield from map(run, items)
        return
    all_threads = torch.get_num_threads()
    own = partial(_with_threads, run, max(1, all_threads // threads))
    pending: deque[Future[Result]] = deque()
    try:
        with ThreadPoolExecutor(threads, "compute") as pool:
            for item in items:
                pending.append(pool.submit(own, item))
                if len(pending) > threads:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
    finally:
        # What a thread has set for itself also holds for all later threads, such as autograd's.
        torch.set_num_threads(all_threads)


def _with_threads(run: Callable[[Item], Result], threads: int, item: Item) -> Result:
    torch.set_num_threads(threads)
    return run(item)
