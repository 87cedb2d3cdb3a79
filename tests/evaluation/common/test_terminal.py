"""Progress as a log tells it."""

import re
import time

import pytest

from evaluation.common import terminal
from evaluation.common.terminal import size_text


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


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (22_437, "22.4 kB"),
        (999_940, "999.9 kB"),
        (999_960, "1.0 MB"),
        (12_740_198_400, "12.7 GB"),
        (5 * 10**15, "5,000.0 TB"),
    ],
)
def test_sizes_are_in_the_unit_that_fits(size: int, text: str) -> None:
    assert size_text(size) == text
