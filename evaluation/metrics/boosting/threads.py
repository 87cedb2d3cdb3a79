"""Threads that grow trees, each with memory of its own."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from queue import SimpleQueue
from types import TracebackType
from typing import Any

import numpy as np

from evaluation.common.devices import cores
from evaluation.metrics.boosting.growth.buffers import Workshop


def split(total: int, parts: int) -> list[tuple[int, int]]:
    """Bounds of at most `parts` ranges of numbers below `total`."""
    bounds = np.linspace(0, total, min(parts, max(total, 1)) + 1).astype(int).tolist()
    return list(pairwise(bounds))


class Threads:
    """As many threads as there are cores.

    Args:
        new_workshop: Makes a thread's memory; without it, `grow` cannot be called.
    """

    def __init__(self, new_workshop: Callable[[], Workshop] | None = None) -> None:
        self.number = cores()
        self._pool = ThreadPoolExecutor(self.number)
        self._workshops: SimpleQueue[Workshop] = SimpleQueue()
        if new_workshop:
            for _ in range(self.number):
                self._workshops.put(new_workshop())

    def __enter__(self) -> "Threads":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown()

    def run(
        self, function: Callable[..., None], tasks: Iterable[tuple[Any, ...]], *arguments: Any
    ) -> None:
        """Calls the function with each task's own arguments and the common ones, and waits."""
        for _ in self._pool.map(lambda task: function(*task, *arguments), tasks):
            pass

    def grow(self, tasks: Iterable[tuple[Any, ...]]) -> None:
        """Runs tasks: a function, the first tree, the one after the last, what else it takes.

        The function gets a workshop after the two numbers. Returns when all have ended.
        """

        def in_workshop(function: Callable[..., None], start: int, stop: int, *others: Any) -> None:
            work = self._workshops.get()
            try:
                function(start, stop, work, *others)
            finally:
                self._workshops.put(work)

        self.run(in_workshop, tasks)
