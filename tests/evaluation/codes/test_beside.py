"""What is computed of codes in a thread, while they are still being checked."""

from threading import Event, current_thread

import numpy as np
import pytest

from evaluation.codes.beside import Beside
from evaluation.codes.table import CodeTable
from evaluation.common.errors import KitError

TABLE = CodeTable.given(np.arange(6.0).reshape(3, 2))


def test_it_is_computed_once_in_another_thread() -> None:
    threads, go = [], Event()

    def total(table: CodeTable) -> float:
        assert go.wait(60)
        threads.append(current_thread())
        return float(table(np.arange(3)).sum())

    beside = Beside("Sums", total)
    beside.start(TABLE)
    go.set()  # a call that waited for the result could not get here
    assert beside.result(TABLE) == beside.result(TABLE) == 15.0
    (thread,) = threads
    assert thread is not current_thread()
    assert thread.daemon


def test_what_was_not_started_is_computed_here() -> None:
    assert Beside("Threads", lambda _: current_thread()).result(TABLE) is current_thread()


def test_its_errors_are_those_of_the_result() -> None:
    def refuse(_: CodeTable) -> None:
        raise KitError("METRIC-ROWS", "these rows allow no mig", "Give more rows")

    beside = Beside("Nothing", refuse)
    beside.start(TABLE)
    with pytest.raises(KitError, match="these rows allow no mig"):
        beside.result(TABLE)
