"""What can be computed of codes while they are still being checked."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Generic, TypeVar

from evaluation.codes.table import CodeTable
from evaluation.common.terminal import progress

Result = TypeVar("Result")


class Beside(Generic[Result]):
    """Computes a result of a whole table of codes, in a thread of its own once it is started.

    The thread ends with the process: nobody waits for the result of codes that were refused.

    Args:
        what: What is computed, as the bar says it.
        compute: Computes it. It must not change the table.
    """

    def __init__(self, what: str, compute: Callable[[CodeTable], Result]) -> None:
        self._what = what
        self._compute = compute
        self._started: Future[Result] | None = None

    def start(self, table: CodeTable) -> None:
        """Begins to compute it."""
        self._started = Future()
        Thread(target=self._run, args=(self._started, table), daemon=True).start()

    def result(self, table: CodeTable) -> Result:
        """The result, waited for; computed here if it was not started.

        Args:
            table: The same table as in `start`.

        Raises:
            Exception: what `compute` raised.
        """
        if self._started is None:
            return self._compute(table)
        with progress(self._what, 1, alike=False):
            return self._started.result()

    def _run(self, future: "Future[Result]", table: CodeTable) -> None:
        try:
            future.set_result(self._compute(table))
        except BaseException as error:
            future.set_exception(error)
