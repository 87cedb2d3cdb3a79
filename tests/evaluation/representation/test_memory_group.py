"""The kernel's own cap on memory, on machines where this user may set one."""

import subprocess
import sys

import pytest

from evaluation.common import environment
from evaluation.representation.resources import memory_group

HOARD = """
import sys
from pathlib import Path
from evaluation.representation.resources import memory_group
assert memory_group.join(Path(sys.argv[1]))
held = bytearray(b"x" * (256 << 20))
"""


def test_who_takes_more_is_ended_and_the_group_is_removed() -> None:
    group = memory_group.make(64 << 20)
    if group is None:
        pytest.skip("this user may make no cgroup v2 with a limit of memory on this machine")
    try:
        done = subprocess.run(
            [sys.executable, "-c", HOARD, group.folder], cwd=environment.REPOSITORY, check=False
        )
        assert done.returncode == -9
        assert group.full
        assert group.cpu_seconds > 0
        assert group.held_bytes < 64 << 20
    finally:
        group.remove()
    assert not group.folder.exists()
