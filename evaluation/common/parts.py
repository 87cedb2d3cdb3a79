"""Computes a batch in parts where a GPU's memory does not take the whole."""

from collections.abc import Callable
from itertools import pairwise
from typing import TypeVar

from evaluation.common.errors import is_full_gpu

Result = TypeVar("Result")


class Parts:
    """How much of a batch is computed at once: all of it, until memory runs out.

    Args:
        tell: Called with the new number of rows at once, when a smaller part has fitted.
        smallest: A batch is not cut into parts of fewer rows than half of this.

    Attributes:
        at_once: The most rows of a part; None as long as every whole batch has fitted.
    """

    def __init__(self, tell: Callable[[int], None], smallest: int = 1) -> None:
        self.at_once: int | None = None
        self._tell = tell
        self._smallest = smallest

    def of(self, count: int) -> list[slice]:
        """Parts of nearly equal size, in order, of a batch of `count` rows."""
        number = -(-count // (self.at_once or count))
        ends = [count * place // number for place in range(number + 1)]
        return [slice(*pair) for pair in pairwise(ends)]

    def run(
        self,
        count: int,
        compute: Callable[[list[slice]], Result],
        undo: Callable[[], None] = lambda: None,
    ) -> Result:
        """`compute(parts)` of a batch, with parts of half the size each time that memory runs out.

        Args:
            count: Number of rows of the batch, at least 1.
            compute: Computes the parts, one after the other.
            undo: Called after a try that ran out of memory, before the next one.

        Raises:
            RuntimeError: not even the smallest part fits, or a CUDA graph is recorded, in which
                nothing can be tried.
        """
        before = self.at_once
        while True:
            try:
                result = compute(self.of(count))
            except Exception as error:
                tried = min(self.at_once or count, count)
                if not is_full_gpu(error) or tried // 2 < self._smallest or _recording():
                    raise
                self.at_once = tried // 2
            else:
                if self.at_once is not None and self.at_once != before:
                    self._tell(self.at_once)
                return result
            undo()
            _release()  # after the `except`, because the error's trace refers to tensors


def _release() -> None:
    """Gives memory that PyTorch keeps for later back to the GPU, for tensors of other sizes."""
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def _recording() -> bool:
    import torch

    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()
