"""Shuts a process in before it touches what a participant made (Linux).

Four layers, each of which works without privileges and holds when another is not to be had:

- namespaces: processes of its own, that all end when the first does; no network interface; the
  file system mounted read-only, but for a small writable folder in memory (`unshare(2)`)
- Landlock: no file is written, made or removed outside that folder, and from Linux 6.12 no process
  outside gets a signal (`landlock(7)`)
- seccomp: no socket of any family is opened, nor io_uring, which could open one (`seccomp(2)`)
- no new privileges, no core files, no huge files

Memory, time, processes and threads are watched from outside, by `supervisor`. What a
representation may still do: read what the user can read, and tell it in its codes.
"""

import ctypes
import os
import resource
import signal
import struct
from collections.abc import Callable
from pathlib import Path

from evaluation.representation import processes
from evaluation.representation.limits import WORK_MIB

_libc = ctypes.CDLL(None, use_errno=True)

_CLONE_NEWNS, _CLONE_NEWIPC, _CLONE_NEWUSER = 0x20000, 0x8000000, 0x10000000
_CLONE_NEWPID, _CLONE_NEWNET = 0x20000000, 0x40000000
_MS_REC, _MS_PRIVATE, _MS_NOSUID, _MS_NODEV = 0x4000, 0x40000, 2, 4
_SYS_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY = 442, -100, 0x8000, 1
_SYS_LANDLOCK_CREATE, _SYS_LANDLOCK_ADD, _SYS_LANDLOCK_RESTRICT = 444, 445, 446
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 22, 36, 38

_DEVICES = ("null", "zero", "random", "urandom", "nvidia*", "nvidia-caps/*", "dri/*", "kfd")


def enter(work: Path) -> list[str]:
    """Shuts the calling process in, leaving `work` as the one folder that it may write to.

    To be called before any thread is started. The process that returns is a child of the caller's,
    which stays outside to end everything when it gets SIGTERM, or when its own parent dies.

    Returns:
        What could not be had, a phrase each; empty where all is in force.
    """
    missing = []
    namespaces = _attempt(_unshare)
    if not namespaces:
        missing.append("processes are not kept in a namespace")
    _fork_keeper()
    mounted = namespaces and _attempt(lambda: _mount_read_only(work))
    if not mounted:
        missing.append("its folder may grow without limit")
        missing.append("modes and times of files can be changed")
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _drop_capabilities()
    if not _attempt(lambda: _landlock(work)) and not mounted:
        missing.append("files are not write-protected")
    if not _attempt(_scope_signals) and not namespaces:
        missing.append("this user's processes can be ended, and what it starts may outlive it")
    if not _attempt(_deny_sockets) and not namespaces:
        missing.append("the network is open")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (WORK_MIB << 20, WORK_MIB << 20))
    os.chdir(work)  # anew: the folder that was the current one now lies beneath a mount
    return missing


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _attempt(layer: Callable[[], None]) -> bool:
    try:
        layer()
    except OSError:
        return False
    return True


def _unshare() -> None:
    user, group = os.geteuid(), os.getegid()
    flags = _CLONE_NEWUSER | _CLONE_NEWNS | _CLONE_NEWPID | _CLONE_NEWNET | _CLONE_NEWIPC
    _check(_libc.unshare(flags))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _fork_keeper() -> None:
    """Forks: the child goes on, the parent waits for it and leaves nothing of its behind."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
    child = os.fork()
    if child == 0:
        _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0))
        return
    os.closerange(3, 256)  # the pipes are the child's; their end must be its end
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGKILL))
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    # Where there is no namespace, what the child started came to us, and may still be starting.
    while processes.kill_descendants(os.getpid()):
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    os._exit(status if status >= 0 else 128 - status)


def _mount_read_only(work: Path) -> None:
    _check(_libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None))
    attributes = struct.pack("=4Q", _MOUNT_ATTR_RDONLY, 0, 0, 0)
    _check(
        _libc.syscall(
            _SYS_MOUNT_SETATTR, _AT_FDCWD, b"/", _AT_RECURSIVE, attributes, len(attributes)
        )
    )
    room = f"size={WORK_MIB}m".encode()
    _check(_libc.mount(b"tmpfs", os.fsencode(work), b"tmpfs", _MS_NOSUID | _MS_NODEV, room))


def _drop_capabilities() -> None:
    version_3 = struct.pack("=Ii", 0x20080522, 0)
    _check(_libc.capset(version_3, bytes(24)))


def _landlock(work: Path) -> None:
    abi = _check(_libc.syscall(_SYS_LANDLOCK_CREATE, None, 0, 1))
    write_file, truncate = 1 << 1, (1 << 14 if abi >= 3 else 0)
    change_folder = sum(1 << bit for bit in range(4, 13)) | (1 << 13 if abi >= 2 else 0)
    everything = write_file | truncate | change_folder
    ruleset = _check(_libc.syscall(_SYS_LANDLOCK_CREATE, struct.pack("=Q", everything), 8, 0))

    def allow(path: str, rights: int) -> None:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        rule = struct.pack("=Qi", rights, handle)
        _check(_libc.syscall(_SYS_LANDLOCK_ADD, ruleset, 1, rule, 0))
        os.close(handle)

    allow(str(work), everything)
    for pattern in _DEVICES:
        for device in Path("/dev").glob(pattern):
            if not device.is_dir():
                allow(str(device), write_file | truncate)
    _check(_libc.syscall(_SYS_LANDLOCK_RESTRICT, ruleset, 0))
    os.close(ruleset)


def _scope_signals() -> None:
    to_outside = 1 << 1
    attributes = struct.pack("=3Q", 0, 0, to_outside)
    ruleset = _check(_libc.syscall(_SYS_LANDLOCK_CREATE, attributes, len(attributes), 0))
    _check(_libc.syscall(_SYS_LANDLOCK_RESTRICT, ruleset, 0))
    os.close(ruleset)


def _deny_sockets() -> None:
    """A seccomp filter under which `socket` and `io_uring_setup` fail with EACCES."""
    known = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}  # AUDIT_ARCH_*, socket
    machine = os.uname().machine
    if machine not in known:
        raise OSError(f"no filter for {machine}")
    architecture, socket_call = known[machine]
    io_uring_setup, x32_calls = 425, 0x40000000
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06  # BPF's opcodes
    allow, deny = 0x7FFF0000, 0x00050000 | 13
    program = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (load, 0, 0, 4),  # seccomp_data.arch
            (equal, 0, 5, architecture),
            (load, 0, 0, 0),  # seccomp_data.nr
            (at_least, 3, 0, x32_calls),
            (equal, 2, 0, socket_call),
            (equal, 1, 0, io_uring_setup),
            (give, 0, 0, allow),
            (give, 0, 0, deny),
        )
    )
    instructions = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions))
    mode_filter = 2
    _check(_libc.prctl(_PR_SET_SECCOMP, mode_filter, header, 0, 0))
