"""What hostile representations reach, hold and leave, with all layers and without namespaces."""

import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.common import environment
from evaluation.common.errors import KitError
from evaluation.data.ground_truth import ImageGrid
from evaluation.representation import watching
from evaluation.representation.finding import only
from evaluation.representation.limits import WORK_MIB, Limits
from evaluation.representation.resources import processes
from evaluation.representation.running import RunningRepresentation
from evaluation.representation.staging import private_folder
from tests.evaluation.representation.bad_submissions import MEAN, dilled

IMAGES = np.random.RandomState(0).randint(256, size=(16, 64, 64, 3), dtype=np.uint8)

PYTHON = sys.executable

NO_NAMESPACES = 'echo 0 >/proc/sys/user/max_user_namespaces && exec "$@"'
NO_RIGHTS = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"]

WHOLE, WITHOUT_NAMESPACES = "whole", "without namespaces"

Attack = Callable[..., NDArray]


def works(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture(params=[WHOLE, WITHOUT_NAMESPACES])
def machine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Workers are started as on a machine that has all layers, and on one that lacks namespaces."""
    if request.param == WITHOUT_NAMESPACES:
        without = ["unshare", "--user", "--map-root-user", "sh", "-c", NO_NAMESPACES, "sh"]
        without += [*NO_RIGHTS, PYTHON]
        if not shutil.which("setpriv") or not works([*without, "-c", ""]):
            pytest.skip("this machine cannot be made to lack namespaces")
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\nexec {shlex.join(without)} "$@"\n')
        python.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(python))
    return request.param


@pytest.fixture
def attack(tmp_path: Path, machine: str) -> Attack:
    """Runs the body of a hostile `represent`, and returns what the first batches get."""

    def run(body: str, limits: Limits | None = None, batches: int = 1) -> NDArray:
        folder = tmp_path / "hostile"
        folder.mkdir(exist_ok=True)
        lines = "\n".join(f"    {line}" for line in body.splitlines())
        source = f"def represent(images):\n{lines}\n    return {MEAN}"
        dilled(source)(folder)
        with RunningRepresentation(only(folder), limits=limits) as representation:
            if not representation.missing_isolation and machine != WHOLE:
                pytest.fail("the machine lacks nothing")
            for _ in range(batches):
                codes = representation.encode(IMAGES)
        return codes

    return run


def refused(attack: Attack, code: str, body: str, **how: object) -> KitError:
    with pytest.raises(KitError) as refusal:
        attack(body, **how)
    assert refusal.value.code == f"REPRESENTATION-{code}", refusal.value
    return refusal.value


def test_files_are_not_read(
    attack: Attack, mini: ImageGrid, data_root: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "home" / "secret"
    secret.parent.mkdir()
    secret.write_text("what nobody is told")
    (dataset,) = data_root.rglob(f"{mini.name}*.npy")
    names = [
        secret,
        dataset,
        environment.REPOSITORY / "README.md",
        environment.REPOSITORY / "tests" / "conftest.py",
        Path("/etc/passwd"),
        Path("/etc/shadow"),
        f"/proc/self/root{secret}",
        f"/proc/self/cwd/../../..{secret}",
        f"/proc/1/root{secret}",
        f"/proc/{os.getpid()}/root{secret}",
        f"/proc/{os.getpid()}/cwd/README.md",
        f"/proc/{os.getpid()}/environ",
        f"/proc/{os.getppid()}/environ",
        "../" * 12 + str(secret).lstrip("/"),
        "/dev/mem",
        "/dev/kmsg",
        "/dev/shm",
    ]
    body = "\n".join(
        [
            "import os",
            f"for name in {[str(name) for name in names]!r}:",
            "    try:",
            "        found = os.listdir(name) if os.path.isdir(name) else open(name, 'rb').read(9)",
            "    except OSError:",
            "        continue",
            "    raise ValueError(f'{name} holds {found}')",
        ]
    )
    attack(body)


@pytest.mark.parametrize(
    "folder", [Path.home(), environment.SCRATCH, Path("/tmp"), Path("/proc"), Path("/")]
)
def test_folders_do_not_show_what_others_have(attack: Attack, folder: Path) -> None:
    body = f"import os\nraise ValueError(sorted(os.listdir({str(folder)!r})))"
    with pytest.raises(KitError) as refusal:
        attack(body)
    others = {"scratch", "shared", "ledger", ".bashrc", ".profile", "cmdline", "home"}
    assert not others & set(refusal.value.problem.split("'"))


@pytest.mark.parametrize(
    "body",
    [
        "import os\nhandle = os.memfd_create('held')\nfor _ in range(96): os.write(handle, HELD)",
        "import mmap\nheld = mmap.mmap(-1, 3 << 30)\nfor _ in range(96): held.write(HELD)",
        "import mmap\nzero = open('/dev/zero', 'r+b')\nheld = mmap.mmap(zero.fileno(), 3 << 30)\n"
        "for _ in range(96): held.write(HELD)",
        "import os\nhandle = os.open('/dev/shm/held', os.O_CREAT | os.O_RDWR)\n"
        "for _ in range(96): os.write(handle, HELD)",
        "import socket\nends = [socket.socketpair() for _ in range(400)]",
        # Rules and locks, each of which takes memory of the kernel's.
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "if libc.syscall(444, bytes(7) + b'\\x20' + bytes(8), 16, 0) < 0:\n"
        "    raise OSError(ctypes.get_errno(), 'no rules')",
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "if libc.prctl(22, 2, 0, 0, 0) < 0: raise OSError(ctypes.get_errno(), 'no filter')",
        "import fcntl\nheld = open('held', 'wb')\n"
        "for place in range(1000): fcntl.lockf(held, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 2 * place)",
        # A lease on a library, for which those who write to it must wait.
        "import fcntl, os\nheld = os.open(os.__file__, os.O_RDONLY)\nfcntl.fcntl(held, 1024, 0)",
    ],
)
def test_memory_that_is_not_counted_is_not_to_be_had(attack: Attack, body: str) -> None:
    refused(attack, "FORBIDDEN", f"HELD = bytes(32 << 20)\n{body}", limits=Limits(memory_gib=1))


SEGMENT = """
import ctypes, time
libc = ctypes.CDLL(None)
libc.shmat.restype = ctypes.c_void_p
segment = libc.shmget(0, 3 << 30, 0o1600)
if segment >= 0:
    held = libc.shmat(segment, None, 0)
    ctypes.memset(held, 1, 3 << 30)
    libc.shmdt(ctypes.c_void_p(held))
"""


def test_a_system_v_segment_is_not_to_be_had(attack: Attack) -> None:
    def segments() -> list[str]:
        return Path("/proc/sysvipc/shm").read_text().splitlines()

    before, shared = segments(), set(Path("/dev/shm").iterdir())
    attack(SEGMENT + "assert segment < 0")
    assert segments() == before
    assert set(Path("/dev/shm").iterdir()) <= shared


@pytest.mark.parametrize(
    "body",
    [
        # Page tables: each read of memory that was never written takes a page of them.
        "import ctypes, mmap, time\n"
        "held = [mmap.mmap(-1, 1 << 40, flags=0x4022, prot=1) for _ in range(2)]\n"
        "for one in held:\n"
        "    for place in range(0, 1 << 40, 2 << 20): one[place]\n"
        "time.sleep(20)",
        # Several processes that each keep below the limit.
        "import os, time\n"
        "for _ in range(4):\n"
        "    if os.fork() == 0:\n"
        "        held = bytearray(b'x' * (400 << 20))\n"
        "        time.sleep(20)\n"
        "        os._exit(0)\n"
        "time.sleep(20)",
        # A name in which some see the end of a line.
        "import ctypes, time\n"
        "ctypes.CDLL(None).prctl(15, b'\\x0bThreads:\\tx', 0, 0, 0)\n"
        "held = bytearray(b'x' * (1200 << 20))\n"
        "time.sleep(20)",
        # The first thread ends, and with it what /proc says of the process's memory.
        "import ctypes, os, threading, time\n"
        "def hold():\n"
        "    time.sleep(0.2)\n"
        "    held = bytearray(b'x' * (1200 << 20))\n"
        "    time.sleep(10)\n"
        "    os._exit(5)\n"
        "threading.Thread(target=hold).start()\n"
        "ctypes.CDLL(None).syscall({'x86_64': 60, 'aarch64': 93}[os.uname().machine], 0)",
    ],
)
def test_memory_is_counted(attack: Attack, body: str) -> None:
    refused(attack, "MEMORY", body, limits=Limits(memory_gib=1))


@pytest.mark.parametrize("machine", [WHOLE], indirect=True)  # elsewhere, that it may grow is said
def test_its_folder_is_small(attack: Attack) -> None:
    fill = f"for number in range({WORK_MIB // 16 + 1}):\n"
    fill += "    open(f'{number}', 'wb').write(bytes(16 << 20))"
    assert "No space left" in refused(attack, "RAISES", fill).problem
    many = "for number in range(20_000): open(f'{number}', 'w').close()"
    assert "No space left" in refused(attack, "RAISES", many).problem
    half = f"open('half', 'wb').write(bytes({WORK_MIB // 2} << 20))\nimport time\ntime.sleep(20)"
    refused(attack, "MEMORY", half, limits=Limits(memory_gib=WORK_MIB / 2 / 1024))


def test_a_fork_bomb_ends(attack: Attack) -> None:
    bomb = "import os, time\nend = time.time() + 10\n"
    bomb += "while time.time() < end:\n    try:\n        os.fork()\n"
    bomb += "    except OSError:\n        pass\n"
    others = set(processes.descendants(os.getpid()))
    refused(attack, "PROCESSES", bomb, limits=Limits(processes=50))
    assert set(processes.descendants(os.getpid())) <= others


def test_who_answers_before_the_watch_looks_is_refused_too(
    attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "WATCH_SECONDS", 60)
    many = "import os, time\nfor _ in range(40):\n    if os.fork() == 0:\n"
    many += "        time.sleep(30)\n        os._exit(0)"
    refused(attack, "PROCESSES", many, limits=Limits(processes=20))


def test_a_slow_batch_is_refused_at_once(attack: Attack) -> None:
    slow = "import time\ntime.sleep(1.5)"
    refused(attack, "SLOW", slow, limits=Limits(answer_seconds=1))


def test_all_batches_together_have_a_limit(attack: Attack) -> None:
    slow = "import time\ntime.sleep(0.5)"
    limits = Limits(answer_seconds=60, total_seconds=6)
    refused(attack, "TIME", slow, limits=limits, batches=20)


@pytest.mark.parametrize("waited_for", ["", "import signal\nsignal.signal(17, signal.SIG_IGN)\n"])
def test_time_of_processors_is_limited_also_of_processes_that_ended(
    attack: Attack, waited_for: str
) -> None:
    busy = f"""{waited_for}import os, time
for _ in range(200):
    if os.fork() == 0:
        end = time.process_time() + 0.5
        while time.process_time() < end: pass
        os._exit(0)
    try:
        os.wait()
    except OSError:
        pass
"""
    refused(attack, "CPU", busy, limits=Limits(cpu_seconds=3))


@pytest.mark.parametrize(
    "body",
    [
        "import socket\nsocket.socket(socket.AF_INET)",
        "import socket\nsocket.socket(socket.AF_UNIX).connect(chr(0) + 'abstract')",
        "import socket\nsocket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "import socket\nsocket.socketpair()",
    ],
)
def test_no_socket_is_opened(attack: Attack, body: str) -> None:
    refused(attack, "FORBIDDEN", body)


@pytest.mark.parametrize(
    "act",
    [
        "os.kill({grader}, 9)",
        "os.kill(os.getppid(), 19)",
        "os.kill(-1, 0)",
        "os.open('/proc/{grader}/mem', os.O_RDWR)",
    ],
)
def test_the_grader_is_out_of_reach(attack: Attack, act: str) -> None:
    body = f"import os\n{act.format(grader=os.getpid())}\nraise OSError(13, 'reached nobody')"
    with pytest.raises(KitError):
        attack(body)


@pytest.mark.parametrize("act", ["prlimit64({grader}, 7, few, None)", "setpriority(2, 0, 19)"])
def test_limits_of_the_grader_stay(attack: Attack, act: str) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE), os.getpriority(os.PRIO_PROCESS, 0)
    body = "import ctypes, struct\nfew = struct.pack('QQ', 64, 64)\n"
    attack(body + f"ctypes.CDLL(None).{act.format(grader=os.getpid())}")
    assert (
        resource.getrlimit(resource.RLIMIT_NOFILE),
        os.getpriority(os.PRIO_PROCESS, 0),
    ) == before


@pytest.mark.parametrize("machine", [WHOLE], indirect=True)
def test_who_answers_without_reading_is_not_waited_for(attack: Attack) -> None:
    body = """
import fcntl, json, os
ends = []
for handle in range(3, 64):
    try:
        if os.readlink(f"/proc/self/fd/{handle}").startswith("pipe"): ends.append(handle)
    except OSError:
        pass
for end in ends:
    if fcntl.fcntl(end, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        fcntl.fcntl(end, 1031, 4096)  # the smallest pipe
    else:
        answers = end
answer = json.dumps({"shape": [16, 3], "dtype": "float32"}).encode() + b"\\n" + bytes(16 * 12)
while True: os.write(answers, answer)
"""
    refusal = refused(attack, "DIED", body, batches=1000)
    assert "has not read" in refusal.problem


def test_no_process_is_traced(attack: Attack) -> None:
    attack("import ctypes\nassert ctypes.CDLL(None).ptrace(16, 1, 0, 0) < 0")


def test_its_own_copy_stays_as_it_is(attack: Attack) -> None:
    find = "import os\ncopy = '../representation'\n"
    refused(attack, "FORBIDDEN", find + "open(copy, 'r+b').write(b'another')")
    for act in ("os.rename(copy, 'mine')", "os.unlink(copy)", "os.truncate(copy, 0)"):
        with pytest.raises(KitError):
            attack(find + act)
    attack(find + "assert open(copy, 'rb').read(1)")


def test_nothing_survives(attack: Attack) -> None:
    leave = """
import os, subprocess, sys
program = "import os, time, signal\\nos.setsid()\\nfor number in range(1, 65):\\n"
program += "    try: signal.signal(number, signal.SIG_IGN)\\n"
program += "    except (OSError, ValueError): pass\\n"
program += "time.sleep(60)"
for _ in range(5): subprocess.Popen([sys.executable, "-c", program], start_new_session=True)
"""
    others = set(processes.descendants(os.getpid()))
    attack(leave)
    assert set(processes.descendants(os.getpid())) <= others


def test_what_was_used_is_said(tmp_path: Path) -> None:
    source = f"""
    import os, threading, time
    def represent(images):
        held = bytearray(b"x" * (300 << 20))
        threads = [threading.Thread(target=time.sleep, args=(0.5,)) for _ in range(5)]
        for thread in threads: thread.start()
        if os.fork() == 0:
            time.sleep(0.5)
            os._exit(0)
        os.wait()
        end = time.process_time() + 0.3
        while time.process_time() < end: pass
        return {MEAN}
    """
    dilled(source)(tmp_path)
    with RunningRepresentation(only(tmp_path)) as representation:
        representation.encode(IMAGES)
    used = representation.used
    assert 300 << 20 <= used.memory_bytes < 2 << 30
    assert used.processes == 2
    assert used.threads >= 7
    assert 0.3 <= used.cpu_seconds < 60
    assert used.wall_seconds >= 0.8


def started(command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, cwd=environment.REPOSITORY, stdout=subprocess.PIPE, text=True)


def test_folders_of_killed_graders_are_swept_and_those_of_living_ones_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    own = tmp_path / "representation-of-mine"
    own.mkdir()
    program = "import time\nfrom evaluation.representation.staging import private_folder\n"
    program += "with private_folder() as folder:\n    (folder / 'work').mkdir()\n"
    program += "    print(folder, flush=True)\n    time.sleep(60)"
    graders = [started([sys.executable, "-c", program]) for _ in range(2)]
    folders = []
    for grader in graders:
        assert grader.stdout
        folders.append(Path(grader.stdout.readline().strip()))
    killed, living = graders
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert folders[0].exists()
    try:
        ends = "from evaluation.representation.staging import private_folder\n"
        ends += "with private_folder(): pass"
        subprocess.run([sys.executable, "-c", ends], cwd=environment.REPOSITORY, check=True)
        assert sorted(tmp_path.iterdir()) == sorted([own, folders[1]])
    finally:
        living.kill()
        living.wait()


def test_a_link_is_not_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner may have put it there after the look at what lies there."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ours = tmp_path / "ours"
    ours.mkdir()
    (ours / ".lock").touch()
    (ours / "key").touch()
    monkeypatch.setattr(Path, "is_symlink", lambda _: False)
    (tmp_path / "representation-x").symlink_to(ours)
    with private_folder():
        pass
    assert (ours / "key").exists()


@pytest.mark.usefixtures("machine")
def test_a_killed_grader_takes_its_worker_along(tmp_path: Path) -> None:
    dilled("import time\ndef represent(images):\n  time.sleep(60)")(tmp_path)
    program = f"""
import sys
sys.executable = {sys.executable!r}
import numpy as np
from pathlib import Path
from evaluation.representation.finding import only
from evaluation.representation.running import RunningRepresentation
with RunningRepresentation(only(Path({str(tmp_path)!r}))) as representation:
    print("runs", flush=True)
    representation.encode(np.zeros((1, 64, 64, 3), np.uint8))
"""
    grader = started([PYTHON, "-c", program])
    assert grader.stdout
    assert grader.stdout.readline() == "runs\n"
    started_by_it = processes.descendants(grader.pid)
    assert started_by_it
    grader.kill()
    grader.wait()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in started_by_it):
        assert time.monotonic() < deadline
        time.sleep(0.05)
