"""What a process can still do once it is shut in, with every layer and without some."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from evaluation.common import environment

PROGRAM = """
import ctypes, json, mmap, os, socket, sys
from pathlib import Path
from evaluation.representation import sandbox

work, outside, absent = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3].split()

def not_here(*_, **__):
    raise OSError("as on a machine that lacks it")

for layer in absent:
    part, function = layer.split(".")
    setattr(getattr(sandbox, part), function, not_here)

def can(act):
    try:
        act()
    except (OSError, IndexError):
        return False
    return True

def call(name, *arguments):
    if getattr(ctypes.CDLL(None), name)(*arguments) < 0:
        raise OSError(name)

said, keeper, libc = os.dup(1), os.getpid(), ctypes.CDLL(None)
missing = sandbox.enter(work, outside / "copy", "cpu", os.getppid(), capped=False)
kept, private_segment = outside / "kept", 0
os.write(said, json.dumps({
    "missing": missing,
    "reads its copy": can(lambda: (outside / "copy").read_text()),
    "imports": can(lambda: __import__("numpy")),
    "writes inside": can(lambda: (work / "note").write_text("x")),
    "writes to null": can(lambda: open("/dev/null", "w")),
    "writes to its copy": can(lambda: (outside / "copy").write_text("x")),
    "removes its copy": can(lambda: (outside / "copy").unlink()),
    "reads outside": can(lambda: kept.read_text()),
    "reads outside by a relative path": can(lambda: Path("../outside/kept").read_text()),
    "reads outside by the file system of its own process":
        can(lambda: Path(f"/proc/self/root{kept}").read_text()),
    "reads outside by the first process": can(lambda: Path(f"/proc/1/root{kept}").read_text()),
    "reads outside by its parent": can(lambda: Path(f"/proc/{keeper}/root{kept}").read_text()),
    "reads another's environment": can(lambda: Path(f"/proc/{keeper}/environ").read_bytes()),
    "reads another's open files": can(lambda: os.listdir(f"/proc/{keeper}/fd")),
    "sees outside": can(lambda: kept.stat()),
    "reads the kit's tests": can(lambda: os.listdir(Path(sys.argv[4]) / "tests")),
    "reads accounts": can(lambda: open("/etc/passwd").read()),
    "writes outside": can(lambda: (outside / "note").write_text("x")),
    "writes to shared memory": can(lambda: open("/dev/shm/kit-test", "w")),
    "changes outside": can(lambda: kept.write_text("x")),
    "changes modes outside": can(lambda: kept.chmod(0o777)),
    "removes outside": can(lambda: kept.unlink()),
    "signals outside": can(lambda: os.kill(keeper, 0)),
    "traces outside": can(lambda: call("ptrace", 16, keeper, 0, 0)),
    "opens sockets": can(lambda: socket.socket().close()),
    "opens pairs of sockets": can(lambda: socket.socketpair()),
    "sees a network": can(lambda: socket.if_nameindex()[1]),
    "holds memory of no file": can(lambda: os.memfd_create("held")),
    "holds shared memory": can(lambda: mmap.mmap(-1, 4096)),
    "holds a segment of shared memory": can(lambda: call("shmget", private_segment, 4096, 0o600)),
    "makes namespaces": can(lambda: call("unshare", 0x10000000)),
    "hears of files outside": can(lambda: call(
        "inotify_add_watch", libc.inotify_init(), bytes(kept), 0xfff)),
    "sets limits outside": can(lambda: call("prlimit64", keeper, 7, None, bytes(16))),
    "sees what lies in memory": can(lambda: os.preadv(
        os.open(sys.executable, os.O_RDONLY), [bytearray(9)], 0, os.RWF_NOWAIT)),
    "regains rights": can(lambda: os.setuid(os.getuid() + 1)),
}).encode())
"""

MAY = {
    "reads its copy",
    "imports",
    "writes inside",
    "writes to null",
}
"""What a process can still do when all layers are there."""

WITHOUT_NAMESPACES = [
    "processes are not kept in a namespace",
    "its folder may grow without limit",
    "names and sizes of all files can be seen",
]

NAMESPACES = ("namespaces.enter", "private_root.enter")
LANDLOCK = ("landlock.restrict_files", "landlock.restrict_signals")
SECCOMP = ("seccomp.install",)


def shut_in(tmp_path: Path, *absent: str) -> tuple[list[str], set[str]]:
    """What is said to be missing, and what the process could still do."""
    work, outside = tmp_path / "work", tmp_path / "outside"
    work.mkdir()
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (outside / "copy").write_text("copy")
    told = [str(work), str(outside), " ".join(absent), str(environment.REPOSITORY)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *told],
        cwd=environment.REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    can = json.loads(done.stdout)
    missing = can.pop("missing")
    return missing, {what for what, could in can.items() if could}


@pytest.fixture(scope="module", autouse=True)
def available(tmp_path_factory: pytest.TempPathFactory) -> None:
    missing, _ = shut_in(tmp_path_factory.mktemp("available"))
    if missing:
        pytest.skip(f"this machine lacks layers: {missing}")


def test_all_layers(tmp_path: Path) -> None:
    assert shut_in(tmp_path) == ([], MAY)


def test_landlock_and_seccomp_hold_without_namespaces(tmp_path: Path) -> None:
    missing, can = shut_in(tmp_path, *NAMESPACES)
    assert missing == WITHOUT_NAMESPACES
    # What is left of files and of the network are their names.
    assert can - {"sees outside", "sees a network"} == MAY


def test_namespaces_hold_without_landlock_and_seccomp(tmp_path: Path) -> None:
    missing, can = shut_in(tmp_path, *LANDLOCK, *SECCOMP)
    assert missing == ["memory that no process has mapped is not counted"]
    # Each of these ends at the namespace, but for the memory that is said to be missing. Some
    # kernels let nobody make a namespace in a namespace.
    assert can - MAY - {"makes namespaces"} == {
        "opens sockets",
        "opens pairs of sockets",
        "holds memory of no file",
        "holds shared memory",
        "holds a segment of shared memory",
        "sees what lies in memory",
    }


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    missing, can = shut_in(tmp_path, *NAMESPACES, *LANDLOCK, *SECCOMP)
    assert missing == [
        *WITHOUT_NAMESPACES,
        "modes and times of files can be changed",
        "files of this user can be read",
        "files are not write-protected",
        "this user's processes can be ended, and what it starts may outlive it",
        "other processes of this user can be looked into",
        "shared memory may outlive it",
        "the network is open",
        "memory that no process has mapped is not counted",
    ]
    assert {"reads outside", "writes outside", "signals outside", "opens sockets"} <= can
    Path("/dev/shm/kit-test").unlink(missing_ok=True)


ENTERING = """
import os, sys
from pathlib import Path
from evaluation.representation.resources.processes import bytes_in_own_folder
from evaluation.representation.sandbox import private_root

work, most = Path(sys.argv[1]), 0
for _ in range(300):
    pid = os.fork()
    if pid == 0:
        try:
            private_root.enter(work, [Path("/usr/lib"), Path("/etc")], [])
        except OSError:
            os._exit(1)
        os._exit(0)
    while True:
        most = max(most, bytes_in_own_folder(pid, work))
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
print(most, status)
"""


def test_a_process_that_changes_its_root_never_seems_to_hold_the_whole_disk(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENTERING, str(tmp_path)],
        cwd=environment.REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    most, status = map(int, done.stdout.split())
    if status:
        pytest.skip("this user may make no mounts on this machine")
    assert most <= 4 << 20
