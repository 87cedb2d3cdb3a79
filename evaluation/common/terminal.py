"""What a person sees: the console, and progress for a terminal or for a log."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
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
    """Wraps printed text, and escapes characters that control the terminal, except newlines."""

    def __init__(self, printed: ConsoleRenderable) -> None:
        self._printed = printed

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self._printed, options):
            if segment.control:  # a control code that rich itself makes
                yield segment
            else:
                lines = map(visible, segment.text.split("\n"))
                yield Segment("\n".join(lines), segment.style)


class _EscapeUntrusted(RenderHook):
    """Escapes all that is printed: file names, error texts and logs can come from others."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        return [_Visible(printed) for printed in renderables]


console.push_render_hook(_EscapeUntrusted())


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
        """Moves the bar on by `steps`, and shows `note` (for example the loss) beside it."""


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(_pace(task.speed or 0.0))


def _pace(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 1 else ""


@contextmanager
def progress(
    description: str, total: int, done: int = 0, *, alike: bool = True
) -> Iterator[Advance]:
    """Yields `advance(steps, note)`: a bar on a terminal, a line every 15 seconds in a log.

    What another thread does beside the main one shows neither, nor does a quiet console.

    Args:
        description: What is being done.
        total: Number of steps.
        done: Steps that an earlier run did. They do not count for the speed of this run.
        alike: Whether all steps take about the same time, so that the time left can be estimated.
    """
    if console.quiet or current_thread() is not main_thread():
        yield lambda steps, note="": None  # noqa: ARG005 - as `Advance` says
        return
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
