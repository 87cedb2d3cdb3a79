"""Spoils what the kit writes, disturbs it while it writes, and looks at what comes of it.

A `Phase` is a command that turns a folder (its world) into a folder with results. Whatever is done
to it, running it again must end in the results of an undisturbed run, or in one line with a code
and nothing lost.

To add a phase: write a module-level function that runs the command in a given folder (see
`processes.command`), and a `Phase` that names the phase before it and its results; give the list
of phases to `Campaign`, and write the tests of `test_training.py` for it.
"""

import hashlib
import os
import random
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count, product
from pathlib import Path
from typing import NamedTuple, TypeVar

from tests.faults.processes import Ended, Process, Task

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
Fault = TypeVar("Fault")

_turn = count()

DISK_CODES = ("OUTPUT-UNWRITABLE", "FEATURES-DISK", "DATA-DISK-FULL")

COUNTS: Counter[str] = Counter()
"""How the rounds ended, by phase, fault and outcome; shown at the end of the tests."""

ROUNDS = int(os.environ.get("FAULT_ROUNDS") or 0)
"""Rounds of each phase and fault; the full campaign takes `FAULT_ROUNDS=20`.

With 0 each fault meets one of the phases once, which takes a minute.
"""


@dataclass(frozen=True)
class Phase:
    """A command and what it makes.

    Args:
        task: Runs the command; see `processes.Task`.
        after: Name of the phase whose results it begins with.
        results: Globs of the files whose bytes must be those of the undisturbed run.
        other: Runs the same command in a way that makes other results, for stale files; it begins
            with the other results of the phase before.
    """

    name: str
    task: Task
    results: tuple[str, ...]
    other: Task
    after: str | None = None


class Undisturbed(NamedTuple):
    """What a phase does when nothing happens to it."""

    folder: Path
    seconds: float
    results: dict[str, str]
    """SHA-256 by path within the folder."""
    written: list[str]
    """Paths of the files that it makes or changes."""
    other: Path
    """Folder that `Phase.other` has worked in."""


class Campaign:
    """Phases, with an undisturbed run of each to compare with.

    Args:
        prepare: Fills an empty folder with what the first phase begins with.
        environment: Variables of a process that works in a folder.
    """

    def __init__(
        self,
        work: Path,
        phases: Sequence[Phase],
        prepare: Callable[[Path], None],
        environment: Callable[[Path], dict[str, str]],
    ) -> None:
        self._work = work
        self._phases = {phase.name: phase for phase in phases}
        self._prepare = prepare
        self._environment = environment
        self._number = 0
        self.undisturbed = cache(self._undisturbed)

    def before(self, name: str, folder: Path) -> Path:
        """Fills `folder` with what the phase begins with."""
        shutil.rmtree(folder, ignore_errors=True)
        after = self._phases[name].after
        if after is None:
            folder.mkdir(parents=True)
            self._prepare(folder)
        else:
            shutil.copytree(self.undisturbed(after).folder, folder)
        return folder

    def start(self, task: Task, folder: Path) -> Process:
        self._number += 1
        logs = self._work / "logs" / str(self._number)
        logs.mkdir(parents=True)
        return Process(task, folder, self._environment(folder), logs)

    def run(self, task: Task, folder: Path) -> Ended:
        return self.start(task, folder).wait()

    def expect_undisturbed(self, name: str, folder: Path, fault: str) -> Ended:
        """Runs the phase, which must succeed with the results of the undisturbed run."""
        ended = self.run(self._phases[name].task, folder)
        assert ended.status == 0, f"{fault}: {ended}"
        assert_same(
            self.undisturbed(name).results, self._results(name, folder), f"{fault}: {ended}"
        )
        COUNTS[f"{name}: {fault.split(',', maxsplit=1)[0]}: survived"] += 1
        return ended

    def interrupt(self, name: str, folder: Path, number: int, moment: float) -> Ended:
        """Starts the phase, and sends it the signal after a part of its usual time."""
        process = self.start(self._phases[name].task, folder)
        time.sleep(moment * self.undisturbed(name).seconds)
        process.send(number)
        ended = process.wait()
        allowed = {0, -number, 128 + number}
        assert ended.status in allowed and "Traceback" not in ended.errors, str(ended)
        return ended

    def twice(self, name: str, folder: Path) -> None:
        """Two runs in one folder at once: both must succeed."""
        processes = [self.start(self._phases[name].task, folder) for _ in range(2)]
        for ended in [process.wait() for process in processes]:
            assert ended.status == 0, str(ended)
        assert_same(self.undisturbed(name).results, self._results(name, folder), "two at once")
        COUNTS[f"{name}: two at once: survived"] += 1

    def fill_disk(self, name: str, disk: "Disk", part: float) -> None:
        """Runs the phase on a disk with room for a part of what it writes, then with enough.

        Args:
            part: In [0, 1], of what the undisturbed run adds to its folder.
        """
        folder = self.before(name, disk.folder / "world")
        done = self.undisturbed(name).folder
        needed = sum((done / path).stat().st_size for path in self.undisturbed(name).written)
        disk.leave(int(part * needed))
        ended = self.run(self._phases[name].task, folder)
        if ended.status != 0:
            code = refusal(ended)
            assert code in DISK_CODES, str(ended)
            COUNTS[f"{name}: full disk: refused ({code}), then"] += 1
        disk.clear()
        self.expect_undisturbed(name, folder, "full disk")
        shutil.rmtree(folder)

    def damage(self, name: str, folder: Path, path: str, damage: str) -> None:
        """Damages a file that the finished phase wrote, and runs it again.

        A refusal must name the file, and removing the file that it wants moved away, which it names
        first, must lead to the undisturbed results.
        """
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.undisturbed(name).folder, folder)
        # Names of folders may end in a key of what their content was made from.
        keyless = re.sub(r"_[0-9a-f]{16}\b", "_*", path)
        others = sorted(self.undisturbed(name).other.glob(keyless))
        DAMAGES[damage](folder / path, others[0] if others else folder / path)
        spoiled = (folder / path).read_bytes()
        ended = self.run(self._phases[name].task, folder)
        if ended.status != 0:
            code = refusal(ended)
            assert Path(path).name in ended.errors, str(ended)
            assert (folder / path).read_bytes() == spoiled
            COUNTS[f"{name}: {damage}: refused ({code}), then"] += 1
            first = re.match(r"error\[[A-Z-]+\]: (/\S+) ", ended.errors)
            moved = Path(first[1]) if first else folder / path
            (moved if moved.is_file() else folder / path).unlink()
            self.expect_undisturbed(name, folder, damage)
            return
        same = f"{damage}, {path}: {ended}"
        assert_same(self.undisturbed(name).results, self._results(name, folder), same)
        COUNTS[f"{name}: {damage}: survived"] += 1

    def _undisturbed(self, name: str) -> Undisturbed:
        phase = self._phases[name]
        folder, other = (self._work / kind / name for kind in ("undisturbed", "other"))
        self.before(name, folder)
        first = _digests(folder)
        start = time.monotonic()
        ended = self.run(phase.task, folder)
        seconds = time.monotonic() - start
        assert ended.status == 0, str(ended)
        if phase.after is None:
            self.before(name, other)
        else:
            shutil.copytree(self.undisturbed(phase.after).other, other)
        ended = self.run(phase.other, other)
        assert ended.status == 0, str(ended)
        last = _digests(folder)
        written = sorted(path for path, digest in last.items() if first.get(path) != digest)
        return Undisturbed(folder, seconds, self._results(name, folder), written, other)

    def _results(self, name: str, folder: Path) -> dict[str, str]:
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for pattern in self._phases[name].results
            for path in sorted(folder.glob(pattern))
        }


class Disk:
    """A disk of a fixed size, on which a file takes up all but a given number of bytes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def leave(self, room: int) -> None:
        free = shutil.disk_usage(self.folder).free
        with self._ballast.open("wb") as stream:
            if free > room:
                os.posix_fallocate(stream.fileno(), 0, free - room)

    def clear(self) -> None:
        self._ballast.unlink()


def refusal(ended: Ended) -> str:
    """The code of the one line with which a command refused."""
    match = re.fullmatch(r"error\[([A-Z-]+)\]: [^\n]+\n", ended.errors)
    assert ended.status == 2 and match, str(ended)
    return match[1]


def assert_same(expected: dict[str, str], found: dict[str, str], why: str) -> None:
    differing = [
        path for path in expected.keys() | found.keys() if expected.get(path) != found.get(path)
    ]
    assert not differing, f"{differing} differ: {why}"


def moments(*names: object) -> list[float]:
    """A random number in [0, 1] for each round, the same in every campaign."""
    generator = random.Random(repr(names))
    return [generator.random() for _ in range(max(ROUNDS, 1))]


def pairs(names: Sequence[str], faults: Iterable[Fault]) -> list[tuple[str, Fault]]:
    """The phases and faults to try together: all, or of each fault one phase in turn."""
    if ROUNDS:
        return list(product(names, faults))
    return [(names[next(_turn) % len(names)], fault) for fault in faults]


def _cut(path: Path, other: Path) -> None:  # noqa: ARG001
    os.truncate(path, path.stat().st_size // 2)


def _emptied(path: Path, other: Path) -> None:  # noqa: ARG001
    os.truncate(path, 0)


def _zeroed(path: Path, other: Path) -> None:  # noqa: ARG001
    size = path.stat().st_size
    with path.open("rb+") as stream:
        stream.seek(size // 3)
        stream.write(bytes(max(1, size // 3)))


def _flipped(path: Path, other: Path) -> None:  # noqa: ARG001
    size = path.stat().st_size
    with path.open("rb+") as stream:
        stream.seek(max(0, size * 2 // 3 - 4))
        before = stream.read(4)
        stream.seek(-len(before), os.SEEK_CUR)
        stream.write(bytes(byte ^ 0xFF for byte in before))


def _stale(path: Path, other: Path) -> None:
    """The file of the same name that another run wrote."""
    if other != path:
        shutil.copyfile(other, path)


DAMAGES = {
    "cut": _cut,
    "emptied": _emptied,
    "zeroed": _zeroed,
    "flipped": _flipped,
    "stale": _stale,
}


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
