"""A process and all that it started, as Linux's `/proc` shows them."""

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """What a tree of processes uses now. Pages that they share count once for each."""

    processes: int
    threads: int
    resident_bytes: int


def descendants(root: int) -> list[int]:
    """Process ids of all that `root` started, directly or not, and that are still there."""
    found: list[int] = []
    open_ends = [root]
    while open_ends:
        tasks = f"/proc/{open_ends.pop()}/task"
        # Processes and threads may end between any two of these lines.
        with suppress(OSError):
            for thread in os.listdir(tasks):  # noqa: PTH208 - polled often
                with suppress(OSError):
                    pids = [int(pid) for pid in Path(tasks, thread, "children").read_text().split()]
                    found += pids
                    open_ends += pids
    return found


def usage(pids: list[int]) -> Usage:
    """Usage of the processes `pids`; those that ended meanwhile count nothing."""
    processes = threads = resident = 0
    for pid in pids:
        try:
            resident += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
            threads += len(os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208 - polled often
            processes += 1
        except OSError:
            continue
    return Usage(processes, threads, resident)


def kill_descendants(root: int) -> bool:
    """Sends SIGKILL to all that `root` started; whether there was any."""
    pids = descendants(root)
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return bool(pids)
