"""Threads that grow trees, each with memory of its own."""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
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
        new_workshop: Makes a thread's memory, for what trees are grown in.
    """

    def __init__(self, new_workshop: Callable[[], Workshop] | None = None) -> None:
        self.number = cores()
        self._pool = ThreadPoolExecutor(self.number)
        self._workshops = [new_workshop() for _ in range(self.number)] if new_workshop else []

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

    def each(self, function: Callable[..., None], *arguments: Any) -> None:
        """Calls the function once in each thread, with the thread's workshop, and waits."""
        self.run(function, ((workshop,) for workshop in self._workshops), *arguments)

    def grow(self, tasks: Iterable[tuple[Any, ...]]) -> None:
        """Runs tasks: a function, the first tree, the one after the last, what else it takes.

        Each thread takes the next one when it is done. The function gets a workshop after the two
        numbers. Returns when all have ended.
        """
        left = deque(tasks)

        def take(work: Workshop) -> None:
            while True:
                try:
                    function, start, stop, *others = left.popleft()
                except IndexError:  # another thread has taken the last one
                    return
                function(start, stop, work, *others)

        self.each(take)
