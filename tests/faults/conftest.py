"""What the fault campaigns share: a small disk."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.harness import Disk


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    """A disk of 64 MB in memory."""
    if os.geteuid() != 0:
        pytest.skip("NOT ROOT: a full disk is not tried, since mounting a small one takes root")
    folder: Path = tmp_path_factory.mktemp("disk")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "faults", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("NO MOUNT HERE: a full disk is not tried")
    yield Disk(folder)
    subprocess.run(["umount", str(folder)], check=True)
