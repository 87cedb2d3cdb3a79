"""The limits of each container, and the flags that change them."""

import argparse
from dataclasses import dataclass

from evaluation.common import flags


@dataclass(frozen=True)
class ContainerLimits:
    """What each container of `./local_eval.sh --docker` may use."""

    container_seconds: float = 8 * 3600.0
    container_memory_gib: int = 16
    container_shm_gib: int = 1
    container_pids: int = 2048


_HELP = {
    "container_seconds": "seconds that a container may run",
    "container_memory_gib": "GiB of memory that a container may use",
    "container_shm_gib": "GiB of shared memory that a container may use",
    "container_pids": "processes and threads that a container may have",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds a flag `--max-…` for each limit."""
    flags.add_limits(parser, ContainerLimits, _HELP)
