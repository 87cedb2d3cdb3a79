"""A group of processes whose memory the kernel itself caps (cgroup v2), where one is to be had."""

import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_OWN_GROUP = Path("/proc/self/cgroup")
_PREFIX = "representation-"
_HELD = ("anon", "shmem", "pagetables", "kernel_stack")
# Lines of memory.stat. Not what is cached of files: the kernel takes that back by itself.


class MemoryGroup:
    """One group, made below the nearest one that may hand a limit of memory down.

    Args:
        folder: The group's folder.
        limit_bytes: Most memory of all its processes.

    Raises:
        OSError: the folder is no group that can be limited.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder = folder
        (folder / "memory.max").write_text(str(limit_bytes))
        with suppress(OSError):  # a machine without swap has no such file
            (folder / "memory.swap.max").write_text("0")
        (folder / "memory.oom.group").write_text("1")

    @property
    def held_bytes(self) -> int:
        """Memory that the group's processes hold now, mapped by one of them or not."""
        lines = (self.folder / "memory.stat").read_text().splitlines()
        values = dict(line.split() for line in lines)
        return sum(int(values.get(name, 0)) for name in _HELD)

    @property
    def full(self) -> bool:
        """Whether the kernel has ended its processes because they took too much."""
        events = (self.folder / "memory.events").read_text().split()
        return int(events[events.index("oom_kill") + 1]) > 0

    @property
    def cpu_seconds(self) -> float:
        """Processors' time of all that ever was in the group."""
        words = (self.folder / "cpu.stat").read_text().split()
        return int(words[words.index("usage_usec") + 1]) / 1e6

    def remove(self) -> None:
        """Ends what is left in the group, and the group."""
        with suppress(OSError):
            (self.folder / "cgroup.kill").write_text("1")
        for _ in range(100):  # the kernel takes a moment to count the dead out
            try:
                self.folder.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.02)
            else:
                return


def join(folder: Path) -> bool:
    """Moves this process, and all that it will start, into a group, if it may."""
    try:
        (folder / "cgroup.procs").write_text(str(os.getpid()))
    except OSError:
        return False
    return True


def make(limit_bytes: int) -> MemoryGroup | None:
    """A new group for one worker; None where this user may make none."""
    for parent in _parents():
        try:
            if "memory" not in (parent / "cgroup.subtree_control").read_text().split():
                continue
            _sweep(parent)
            folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=parent))
        except OSError:
            continue
        try:
            return MemoryGroup(folder, limit_bytes)
        except OSError:
            folder.rmdir()
    return None


def _sweep(parent: Path) -> None:
    """Removes the groups of graders that were killed."""
    for folder in parent.glob(f"{_PREFIX}*"):
        grader = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path("/proc", grader).exists():
            with suppress(OSError):
                folder.rmdir()


def _parents() -> list[Path]:
    """This process's own group and those above it, as far as they can be seen."""
    mounted = _mount_point()
    if mounted is None:
        return []
    for line in _OWN_GROUP.read_text().splitlines():
        hierarchy, _, name = line.partition("::")
        if hierarchy == "0":
            own = mounted / name.lstrip("/")
            return [own, *(path for path in own.parents if path.is_relative_to(mounted))]
    return []


def _mount_point() -> Path | None:
    for line in _MOUNTS.read_text().splitlines():
        place, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            return Path(place.split()[4])
    return None
