"""Progress as a log tells it."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from evaluation.common import terminal


def test_what_an_earlier_run_has_done_says_nothing_of_the_pace(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "_SECONDS_BETWEEN_LOG_LINES", 0.0)
    with terminal.progress("Resumed", 1000, done=900) as advance:
        time.sleep(0.05)
        advance(1)
    line = capsys.readouterr().out
    assert line.startswith("Resumed: 901 of 1,000")
    left = re.search(r"about (\d+) s left", line)
    assert left and int(left[1]) >= 4  # 99 steps, each as long as the one there was


def test_no_time_is_promised_where_steps_are_unlike(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "_SECONDS_BETWEEN_LOG_LINES", 0.0)
    with terminal.progress("Metrics", 5, alike=False) as advance:
        advance(1, note="dci")
    assert capsys.readouterr().out == "Metrics: 1 of 5, dci\n"


def test_a_thread_beside_the_main_one_shows_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "_SECONDS_BETWEEN_LOG_LINES", 0.0)

    def work() -> str:
        with terminal.progress("Metrics", 5) as advance:
            advance(1, note="dci")
        return "done"

    with ThreadPoolExecutor(1) as pool, terminal.progress("Encoding", 5) as advance:
        assert pool.submit(work).result() == "done"
        advance(5)
    assert capsys.readouterr().out.startswith("Encoding: 5 of 5")
