"""Every limit that the grader sets to what it is given, and the flags that change them."""

import argparse
from dataclasses import dataclass

from evaluation.common import flags

ANSWER_BATCH = 16
"""Size of the batch that `answer_seconds` speaks of: the smallest of disentanglement_lib's."""

ENCODING_BATCH = {"cpu": 32, "cuda": 1024}
"""Images a batch. CPUs are no faster beyond; a GPU out of memory halves its batch by itself."""

WORK_MIB = 256
"""Room in the only folder that a representation may write to."""


@dataclass(frozen=True)
class Limits:
    """What a representation may use. The fields' names are the flags' names."""

    load_seconds: float = 180.0
    answer_seconds: float = 60.0
    memory_gib: float = 12.0
    processes: int = 16
    threads: int = 1024
    dims: int = 2048
    representation_gib: float = 4.0
    representation_files: int = 1000

    @property
    def memory_bytes(self) -> int:
        return int(self.memory_gib * 2**30)

    @property
    def representation_bytes(self) -> int:
        return int(self.representation_gib * 2**30)


_HELP = {
    "load_seconds": "seconds that loading a representation may take",
    "answer_seconds": f"seconds that encoding a batch of {ANSWER_BATCH} images may take",
    "memory_gib": "GiB of resident memory of a representation, all its processes together",
    "processes": "processes that a representation may have at once",
    "threads": "threads that a representation may have at once, over all its processes",
    "dims": "dimensions that a representation may have",
    "representation_gib": "GiB of a representation on disk, all its files together",
    "representation_files": "files and folders in a representation's folder",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds a flag for each limit."""
    flags.add_limits(parser, Limits, _HELP)
