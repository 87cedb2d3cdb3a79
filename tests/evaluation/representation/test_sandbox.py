"""What a process can still do once it is shut in, with every layer and without some."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evaluation.common import environment

PROGRAM = """
import json, os, socket, sys
from pathlib import Path
from evaluation import sandbox

work, outside, absent = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3].split()

def not_here(*_):
    raise OSError("as on a machine that lacks it")

for layer in absent:
    setattr(sandbox, layer, not_here)

def can(act):
    try:
        act()
    except (OSError, IndexError):
        return False
    return True

said, keeper = os.dup(1), os.getpid()
missing = sandbox.enter(work)
os.write(said, json.dumps({
    "missing": missing,
    "writes inside": can(lambda: (work / "note").write_text("x")),
    "writes to null": can(lambda: open("/dev/null", "w")),
    "writes outside": can(lambda: (outside / "note").write_text("x")),
    "changes outside": can(lambda: (outside / "kept").write_text("x")),
    "removes outside": can(lambda: (outside / "kept").unlink()),
    "signals outside": can(lambda: os.kill(keeper, 0)),
    "opens sockets": can(lambda: socket.socket().close()),
    "sees a network": can(lambda: socket.if_nameindex()[1]),
    "regains rights": can(lambda: os.setuid(os.getuid() + 1)),
}).encode())
"""

SHUT_IN = {
    "missing": [],
    "writes inside": True,
    "writes to null": True,
    "writes outside": False,
    "changes outside": False,
    "removes outside": False,
    "signals outside": False,
    "opens sockets": False,
    "regains rights": False,
}


WITHOUT_NAMESPACES = [
    "processes are not kept in a namespace",
    "its folder may grow without limit",
    "modes and times of files can be changed",
]


def shut_in(tmp_path: Path, *absent: str) -> dict[str, Any]:
    work, outside = tmp_path / "work", tmp_path / "outside"
    work.mkdir()
    outside.mkdir()
    (outside / "kept").write_text("kept")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, work, outside, " ".join(absent)],
        cwd=environment.REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module", autouse=True)
def available(tmp_path_factory: pytest.TempPathFactory) -> None:
    missing = shut_in(tmp_path_factory.mktemp("available"))["missing"]
    if missing:
        pytest.skip(f"this machine lacks layers: {missing}")


def test_all_layers(tmp_path: Path) -> None:
    assert SHUT_IN.items() <= shut_in(tmp_path).items()


def test_landlock_and_seccomp_hold_without_namespaces(tmp_path: Path) -> None:
    can = shut_in(tmp_path, "_unshare")
    assert can.pop("missing") == WITHOUT_NAMESPACES
    del can["regains rights"], can["sees a network"]
    assert can.items() <= SHUT_IN.items()


def test_namespaces_hold_without_landlock_and_seccomp(tmp_path: Path) -> None:
    can = shut_in(tmp_path, "_landlock", "_scope_signals", "_deny_sockets")
    assert can["missing"] == []
    assert not can["signals outside"]
    assert not can["writes outside"]
    assert not can["changes outside"]
    assert not can["removes outside"]
    assert not can["sees a network"]


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    can = shut_in(tmp_path, "_unshare", "_landlock", "_scope_signals", "_deny_sockets")
    assert can["missing"] == [
        *WITHOUT_NAMESPACES,
        "files are not write-protected",
        "this user's processes can be ended, and what it starts may outlive it",
        "the network is open",
    ]
    assert can["writes outside"]
    assert can["signals outside"]
    assert can["opens sockets"]
