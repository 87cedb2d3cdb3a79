"""Data that many tests share, and the programs that some of them run."""

from pathlib import Path

import pytest

from evaluation.common import environment
from evaluation.data import open_dataset
from evaluation.data.ground_truth import ImageGrid
from tests import real_parts

real_parts.add_wheels_to_path()


@pytest.fixture(scope="session")
def data_root() -> Path:
    """A folder with the three simulated minis, rendered once for all runs of the tests."""
    root = environment.SCRATCH / "dataset"
    for look in ("toy", "realistic", "real"):
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
