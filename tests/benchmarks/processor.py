"""What a benchmark's figures hold for: the processor, what it can do, and what was spent on it."""

import os
import resource
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import active_children
from pathlib import Path

import torch

from evaluation.common.devices import Precision, cores
from submission.runtime.precision import has_bf16


def describe() -> str:
    """The processor's name and how many cores this process may use, for the first line."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else "unknown processor"
    return f"{name} ({torch.backends.cpu.get_cpu_capability()}), {cores()} cores"


def precisions() -> tuple[Precision, ...]:
    """Those that this processor has instructions for."""
    return ("float32", "bf16") if has_bf16("cpu") else ("float32",)


@dataclass(frozen=True)
class Spent:
    """Seconds of the clock, and seconds of the processor over all threads."""

    clock: float
    processor: float

    @classmethod
    def so_far(cls) -> "Spent":
        """By this process, and by its children."""
        uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        own = sum(use.ru_utime + use.ru_stime for use in uses)
        others = sum(_of_process(child.pid) for child in active_children() if child.pid)
        return cls(time.perf_counter(), own + others)

    def __sub__(self, earlier: "Spent") -> "Spent":
        return Spent(self.clock - earlier.clock, self.processor - earlier.processor)

    def __truediv__(self, number: float) -> "Spent":
        return Spent(self.clock / number, self.processor / number)


def _of_process(number: int) -> float:
    """Seconds of the processor that a process with this number has taken so far."""
    fields = Path(f"/proc/{number}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def milliseconds(rounds: Sequence[Spent]) -> str:
    """The medians over the rounds."""
    processor = statistics.median(spent.processor for spent in rounds)
    clock = statistics.median(spent.clock for spent in rounds)
    return f"{1000 * processor:9.2f} ms of the processor {1000 * clock:9.2f} ms of the clock"


def times_less(theirs: Sequence[Spent], ours: Sequence[Spent]) -> str:
    """The ratio in each round, as the median and the worst."""
    parts = []
    for what in ("processor", "clock"):
        pairs = zip(theirs, ours, strict=True)
        ratios = [getattr(their, what) / getattr(own, what) for their, own in pairs]
        parts.append(
            f"{statistics.median(ratios):.2f} times less of the {what} (worst {min(ratios):.2f})"
        )
    return ", ".join(parts)


def product_rate(threads: int) -> float:
    """Operations a second of the processor's time in a large product of float32 matrices.

    It is what PyTorch reaches at best, and so stands for the processor's limit.
    """
    torch.set_num_threads(threads)
    side, rates = 2048, []
    left, right = torch.rand(side, side), torch.rand(side, side)
    for _ in range(6):
        before = Spent.so_far()
        left @ right
        rates.append(2 * side**3 / (Spent.so_far() - before).processor)
    return max(rates)
