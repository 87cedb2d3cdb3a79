"""Watches what a worker takes, ends it when that is too much, and says what it used."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from evaluation.representation.limits import Limits
from evaluation.representation.resources import processes
from evaluation.representation.resources.memory_group import MemoryGroup

WATCH_SECONDS = 0.05
"""How long a worker may be unwatched."""


@dataclass(frozen=True)
class Use:
    """The most that a representation used, as far as was seen at every WATCH_SECONDS.

    Args:
        memory_bytes: Of all its processes together.
        wall_seconds: While it loaded or owed an answer.
        cpu_seconds: Processors' time, over all its processes and those that ended.
        processes: At once.
        threads: At once, over all its processes.
    """

    memory_bytes: int = 0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    processes: int = 0
    threads: int = 0


class Watch:
    """A thread that looks at a worker from its start to `stop`, also while nobody asks it anything.

    Args:
        root: Process id of the worker's keeper.
        work: The folder that it may write to.
        limits: What it may use.
        group: The group that caps its memory, where there is one.
        end: Ends the worker.

    Attributes:
        used: What it used so far, but for wall_seconds.
    """

    def __init__(
        self,
        root: int,
        work: Path,
        limits: Limits,
        group: MemoryGroup | None,
        end: Callable[[], None],
    ) -> None:
        self._root = root
        self._work = work
        self._limits = limits
        self._group = group
        self._end = end
        self._last_cpu = self._lost_cpu = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._breach: tuple[str, str] | None = None
        self.used = Use()
        self._thread.start()

    def stop(self) -> None:
        """Looks a last time; nothing of the worker is ended by the watch after that."""
        self._stopping.set()
        self._thread.join()
        self._look()
        self._breach = self._breach or self._broken_limit()

    @property
    def breach(self) -> tuple[str, str] | None:
        """Code and problem of the limit that it broke first, if it broke one."""
        if self._breach is None and self._group is not None and self._group.full:
            return self._too_much_memory()  # the kernel was faster than we
        return self._breach

    def _watch(self) -> None:
        while not self._stopping.wait(WATCH_SECONDS):
            try:
                self._look()
                self._breach = self._broken_limit()
            except BaseException:
                self._end()  # nothing runs that is not watched
                raise
            if self._breach is not None:
                self._end()
                return

    def _look(self) -> None:
        pids = processes.descendants(self._root, enough=self._limits.processes + 1)
        now = processes.usage(pids)
        # The time of those that ended shows in their parent, unless nobody waited for them.
        self._lost_cpu += max(0.0, self._last_cpu - now.cpu_seconds)
        self._last_cpu = now.cpu_seconds
        memory, cpu = now.memory_bytes, now.cpu_seconds + self._lost_cpu
        if pids:
            memory += processes.bytes_in_own_folder(pids[0], self._work)
        if self._group is not None:
            memory = max(memory, self._group.held_bytes)
            cpu = max(cpu, self._group.cpu_seconds)
        self.used = Use(
            memory_bytes=max(self.used.memory_bytes, memory),
            cpu_seconds=max(self.used.cpu_seconds, cpu),
            processes=max(self.used.processes, now.processes),
            threads=max(self.used.threads, now.threads),
        )

    def _broken_limit(self) -> tuple[str, str] | None:
        """Code and problem of the limit that the worker is beyond, if it is."""
        used, limits = self.used, self._limits
        if used.memory_bytes > limits.memory_bytes:
            return self._too_much_memory()
        if used.processes > limits.processes or used.threads > limits.threads:
            problem = f"runs {used.processes} processes with {used.threads} threads; "
            problem += f"{limits.processes} and {limits.threads} are allowed"
            return "REPRESENTATION-PROCESSES", problem
        if used.cpu_seconds > limits.cpu_seconds:
            problem = f"uses more than {limits.cpu_seconds:,.0f} s of processors' time"
            return "REPRESENTATION-CPU", problem
        return None

    def _too_much_memory(self) -> tuple[str, str]:
        problem = f"uses more than {self._limits.memory_gib:g} GiB of memory"
        return "REPRESENTATION-MEMORY", problem
