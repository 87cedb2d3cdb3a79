"""Data that many tests share, the programs that some of them run, and the counts at the end."""

import os
from pathlib import Path
from typing import Any

import pytest

from evaluation.common import environment
from evaluation.data import open_dataset
from evaluation.data.ground_truth import ImageGrid
from evaluation.many import connecting  # noqa: F401 - it must come before Ray, as in a command
from tests import real_parts
from tests.faults.harness import COUNTS

real_parts.add_wheels_to_path()

# `./local_eval.sh test` runs the tests in several processes (pytest-xdist). They and the commands
# that they start share the cores: more threads than cores wait for each other.
if processes := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    cores = len(os.sched_getaffinity(0))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // int(processes))))


@pytest.fixture(scope="session")
def data_root() -> Path:
    """A folder with the four simulated minis, rendered once for all runs of the tests."""
    root = environment.SCRATCH / "dataset"
    for look in ("toy", "realistic", "real", "hard"):
        open_dataset(f"mpi3d_sim_{look}_mini", root)
    return root


@pytest.fixture(scope="session")
def mini(data_root: Path) -> ImageGrid:
    return open_dataset("mpi3d_sim_real_mini", data_root)


@pytest.fixture(scope="session")
def git_lfs() -> None:
    """Skips tests that need Git LFS where it is missing."""
    if not real_parts.is_there("git-lfs"):
        pytest.skip(real_parts.why_skipped("git-lfs"))


# Each process hands its counts to the one that writes the end of the output.


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["faults"] = dict(COUNTS)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    COUNTS.update(getattr(node, "workeroutput", {}).get("faults", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if COUNTS:
        terminalreporter.section("faults")
        for name, number in sorted(COUNTS.items()):
            terminalreporter.write_line(f"{number:4} {name}")
