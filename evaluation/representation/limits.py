"""Every limit that the grader sets to what it is given, and the flags that change them."""

import argparse
from dataclasses import dataclass, replace

from evaluation.common import flags

ANSWER_BATCH = 16
"""Images of a small batch: the smallest of disentanglement_lib's."""

ENCODING_BATCH = {"cpu": 32, "cuda": 1024}
"""Images a batch. CPUs are no faster beyond; a GPU out of memory halves its batch by itself."""

WORK_MIB = 256
"""Room in the only folder that a representation may write to."""

WORK_FILES = 10_000
"""Files and folders there, each of which takes memory of the kernel's."""

OPEN_FILES = 1024
"""Files that a process of a representation may have open."""


NUMBERS_A_DIM = 8
"""Numbers that all tokens of an image may have together, for each dim that is allowed."""


@dataclass(frozen=True)
class Limits:
    """What a representation may use. The fields' names are the flags' names."""

    load_seconds: float = 180.0
    answer_seconds: float = 60.0
    total_seconds: float = 4 * 3600.0
    cpu_seconds: float = 48 * 3600.0
    memory_gib: float = 12.0
    processes: int = 16
    threads: int = 1024
    dims: int = 2048
    representation_gib: float = 4.0
    representation_files: int = 1000

    def less(self, seconds: float, cpu_seconds: float) -> "Limits":
        """What is left of the times in all, after an earlier worker took these seconds of them."""
        return replace(
            self,
            total_seconds=max(0.0, self.total_seconds - seconds),
            cpu_seconds=max(0.0, self.cpu_seconds - cpu_seconds),
        )

    @property
    def token_numbers(self) -> int:
        """Numbers that all tokens of an image may have together."""
        return NUMBERS_A_DIM * self.dims

    @property
    def memory_bytes(self) -> int:
        return int(self.memory_gib * 2**30)

    @property
    def representation_bytes(self) -> int:
        return int(self.representation_gib * 2**30)


_HELP = {
    "load_seconds": "seconds that loading a representation may take",
    "answer_seconds": "seconds that encoding one batch may take, whatever its size",
    "total_seconds": "seconds that loading and all batches may take together",
    "cpu_seconds": "seconds of processors' time, over all its processes and those that ended",
    "memory_gib": "GiB of memory of a representation, all its processes together",
    "processes": "processes that a representation may have at once",
    "threads": "threads that a representation may have at once, over all its processes",
    "dims": "dimensions that a representation may have, or tokens, or numbers of a token",
    "representation_gib": "GiB of a representation on disk, all its files together",
    "representation_files": "files and folders in a representation's folder",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds a flag for each limit."""
    flags.add_limits(parser, Limits, _HELP)
