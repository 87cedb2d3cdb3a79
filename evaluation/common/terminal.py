"""What a person sees: one console, and progress that suits a terminal and a log alike."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

console = Console(highlight=False, soft_wrap=True)
"""Standard output. Errors go to standard error, through `errors.run_command`."""

_SECONDS_BETWEEN_LOG_LINES = 15.0


class Advance(Protocol):
    def __call__(self, steps: int, note: str = "") -> None:
        """Moves on by `steps` and shows `note` (losses, say) beside the bar."""


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(_pace(task.speed or 0.0))


def _pace(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 1 else ""


@contextmanager
def progress(
    description: str, total: int, done: int = 0, *, alike: bool = True
) -> Iterator[Advance]:
    """Yields `advance(steps, note)`: a moving bar on a terminal, a line now and then in a log.

    Args:
        done: Steps of `total` that an earlier run has taken, which say nothing of this one's pace.
        alike: Whether steps take alike, so that those done tell the time left.
    """
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            *((_RateColumn(),) if alike else ()),
            TimeElapsedColumn(),
            *((TimeRemainingColumn(),) if alike else ()),
            TextColumn("{task.fields[note]}", markup=False),
        )
        with Progress(*columns, console=console, transient=True) as bars:
            task = bars.add_task(description, total=total, completed=done, note="")
            yield lambda steps, note="": bars.update(task, advance=steps, note=note)
        return

    before = done
    start = last = time.monotonic()

    def advance(steps: int, note: str = "") -> None:
        nonlocal done, last
        done += steps
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LOG_LINES:
            last = now
            parts = [f"{done:,} of {total:,}", note]
            if alike:
                rate = max(done - before, 1) / (now - start)
                parts[1:1] = [_pace(rate), f"about {(total - done) / rate:.0f} s left"]
            console.print(f"{description}: {', '.join(filter(None, parts))}", markup=False)

    yield advance
