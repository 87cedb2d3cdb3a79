"""What a person sees: one console, and progress that suits a terminal and a log alike."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

console = Console(highlight=False, soft_wrap=True)
"""Standard output. Errors go to standard error, through `errors.run_command`."""

_SECONDS_BETWEEN_LOG_LINES = 15.0


@contextmanager
def progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yields `advance(steps)`: a moving bar on a terminal, a line now and then in a log."""
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console, transient=True) as bars:
            task = bars.add_task(description, total=total)
            yield lambda steps: bars.advance(task, steps)
        return

    done = 0
    start = last = time.monotonic()

    def advance(steps: int) -> None:
        nonlocal done, last
        done += steps
        now = time.monotonic()
        if now - last >= _SECONDS_BETWEEN_LOG_LINES:
            last = now
            left = (now - start) * (total - done) / max(done, 1)
            console.print(f"{description}: {done:,} of {total:,}, about {left:.0f} s left")

    yield advance
