"""What a person sees: one console, and progress that suits a terminal and a log alike."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
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
from rich.segment import Segment
from rich.text import Text

from evaluation.common.escaping import visible

console = Console(highlight=False, soft_wrap=True)
"""Standard output. Errors go to standard error, through `errors.run_command`."""


class _Visible:
    """What is to be printed, without a character that steers the terminal but for line ends."""

    def __init__(self, printed: ConsoleRenderable) -> None:
        self._printed = printed

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._printed, options):
            if segment.control:  # the library's own
                yield segment
            else:
                lines = map(visible, segment.text.split("\n"))
                yield Segment("\n".join(lines), segment.style)


class _NamesOfOthers(RenderHook):
    """Names of files, texts of errors and logs come from others, and go through here."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Visible(printed) for printed in renderables]


console.push_render_hook(_NamesOfOthers())


@contextmanager
def silent(wanted: bool) -> Iterator[None]:
    """Prints nothing inside, if that is wanted; errors go to standard error all the same."""
    before = console.quiet
    console.quiet = before or wanted
    try:
        yield
    finally:
        console.quiet = before


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
