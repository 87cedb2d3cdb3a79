"""What the kit asks of the C library, in a process of its own."""

import platform
import subprocess
import sys

import pytest

from evaluation.common.environment import REPOSITORY

PROGRAM = """
import resource, sys
from evaluation.common.environment import keep_freed_memory

if sys.argv[1:] == ["keep"]:
    keep_freed_memory()
size = 64 * 2**20
bytes(1) * size
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
b"x" * size
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults * resource.getpagesize() / size)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_freed_memory_is_kept() -> None:
    def part_that_is_new(*arguments: str) -> float:
        command = [sys.executable, "-c", PROGRAM, *arguments]
        output = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
        return float(output.stdout)

    assert part_that_is_new() > 0.9
    assert part_that_is_new("keep") < 0.1
