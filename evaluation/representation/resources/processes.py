"""A process and all that it started, as Linux's `/proc` shows them."""

import math
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

_HAS_MEMORY = b"\nVmRSS:\t"
_MEMORY = (b"VmRSS", b"VmSwap", b"VmPTE", b"HugetlbPages")
# Page tables too: to read memory that was never written takes no other.

_USER_TICKS = 11  # fields of /proc/PID/stat, counted from the one after the name
_CHILDRENS_SYSTEM_TICKS = 14


@dataclass(frozen=True)
class Usage:
    """What a tree of processes uses now. Pages that they share count once for each.

    Args:
        cpu_seconds: Processors' time of these, and of those that ended and were waited for.
    """

    processes: int
    threads: int
    memory_bytes: int
    cpu_seconds: float


def descendants(root: int, enough: float = math.inf) -> list[int]:
    """Process ids of all that `root` started, directly or not, and that are still there.

    Args:
        enough: Stops looking where this many are found: some start faster than they can be listed.
    """
    found: list[int] = []
    open_ends = [root]
    while open_ends and len(found) < enough:
        tasks = f"/proc/{open_ends.pop()}/task"
        # Processes and threads may end between any two of these lines.
        with suppress(OSError):
            for thread in os.listdir(tasks):  # noqa: PTH208 - polled often
                with suppress(OSError):
                    pids = [int(pid) for pid in Path(tasks, thread, "children").read_text().split()]
                    found += pids
                    open_ends += pids
    return found


def usage(pids: Sequence[int]) -> Usage:
    """Usage of the processes `pids`; those that ended meanwhile count nothing."""
    processes = threads = memory = 0
    cpu = 0.0
    for pid in pids:
        try:
            cpu += _cpu_seconds(pid)
            status = _status(pid)
        except OSError:
            continue
        processes += 1
        # A process names itself, and only "\n" is escaped there of all that Python ends lines at.
        for line in status.split(b"\n"):
            name, _, value = line.partition(b":\t")
            if name in _MEMORY:
                memory += int(value.split()[0]) << 10
            elif name == b"Threads":
                threads += int(value)
    return Usage(processes, threads, memory, cpu)


def _status(pid: int) -> bytes:
    """What `/proc` says of a process's memory, as one of its threads that have not ended sees it.

    The first thread may end before the others, and its process then seems to have no memory.
    """
    status = b""
    for folder in _threads(pid):
        with suppress(OSError):
            status = (folder / "status").read_bytes()
        if _HAS_MEMORY in status:
            break
    return status


def _threads(pid: int) -> Iterator[Path]:
    """Folders in `/proc` of a process's threads, its first before the others."""
    yield Path(f"/proc/{pid}")
    for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - polled often
        yield Path(f"/proc/{pid}/task/{thread}")


def _cpu_seconds(pid: int) -> float:
    # The name before it is in parentheses and may hold anything, parentheses too.
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    ticks = sum(map(int, fields[_USER_TICKS : _CHILDRENS_SYSTEM_TICKS + 1]))
    return ticks / _TICKS_PER_SECOND


def bytes_in_own_folder(pid: int, folder: Path) -> int:
    """Bytes in a file system that the process `pid` alone has mounted at `folder`, if it has."""
    with suppress(OSError):
        for thread in _threads(pid):
            with suppress(OSError):  # it ended before the others
                return _bytes_in_other_system(f"{thread}/root{folder}", folder)
    return 0


def _bytes_in_other_system(path: str, folder: Path) -> int:
    """Bytes in the file system of `path`; 0 if it is that of `folder`."""
    # Opened once: while a worker changes its root, the same path may lead to the disk a moment
    # later, and all that is on it would count.
    opened = os.open(path, os.O_PATH | os.O_DIRECTORY)
    try:
        if os.fstat(opened).st_dev == folder.stat().st_dev:
            return 0
        room = os.fstatvfs(opened)
        return (room.f_blocks - room.f_bfree) * room.f_frsize
    finally:
        os.close(opened)


def kill_descendants(root: int) -> bool:
    """Sends SIGKILL to all that `root` started; whether there was any."""
    pids = descendants(root)
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    return bool(pids)
