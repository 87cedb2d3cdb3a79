"""A filter of system calls, which holds for a process and all that it starts (`seccomp(2)`)."""

import ctypes
import errno
import os
import struct

from evaluation.representation.sandbox import filter_program as bpf
from evaluation.representation.sandbox import namespaces
from evaluation.representation.sandbox.kernel import check, libc

_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2

_MACHINES = ("x86_64", "aarch64")

_Calls = dict[str, tuple[int | None, int | None]]
"""Numbers of system calls by name, for each of _MACHINES that has them."""

_TO_THE_OUTSIDE: _Calls = {
    "socket": (41, 198),
    "socketpair": (53, 199),
    "io_uring_setup": (425, 425),
}

_MEMORY_THAT_ESCAPES: _Calls = {
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "vmsplice": (278, 75),
    "userfaultfd": (323, 282),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
}

_MEMORY_OF_RULES: _Calls = {
    "landlock_create_ruleset": (444, 444),
    "landlock_add_rule": (445, 445),
    "seccomp": (317, 277),
}
"""The kernel keeps rules in memory that no process has, and sets no limit to landlock's."""

_MEMORY_OF_NO_FILE: _Calls = {"memfd_create": (319, 279)}

_NEW_RIGHTS: _Calls = {
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "fanotify_init": (300, 262),
    "syslog": (103, 116),
}

_OTHER_PROCESSES: _Calls = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
}

_CHANGES_OF_ATTRIBUTES: _Calls = {
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "file_setattr": (469, 469),
}

_WHAT_LIES_IN_MEMORY: _Calls = {
    "mincore": (27, 232),
    "cachestat": (451, 451),
    "io_setup": (206, 0),
}
"""What one worker has read stays in memory, where these would show it to the next."""

_EVENTS_OF_FILES: _Calls = {
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
}

_SCHEDULING: _Calls = {
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
}
"""Calls for all processes of a user at once."""

_SCHEDULING_BY_NUMBER: _Calls = {
    "prlimit64": (302, 261),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
}
"""Calls whose first argument is the number of a process, 0 for the caller."""

_CLONE = (56, 220)
_CLONE3 = (435, 435)
_MMAP = (9, 222)
_PREADV2 = (327, 286)
_PRCTL = (157, 167)
_FCNTL = (72, 25)

_NEW_NAMESPACES = (
    namespaces.CLONE_NEWNS
    | namespaces.CLONE_NEWCGROUP
    | namespaces.CLONE_NEWUTS
    | namespaces.CLONE_NEWIPC
    | namespaces.CLONE_NEWUSER
    | namespaces.CLONE_NEWPID
    | namespaces.CLONE_NEWNET
)
_MAP_SHARED = 0x01
_MAP_ANONYMOUS = 0x20
_FLAGS_OF_CLONE = 0  # which argument they are
_FLAGS_OF_MMAP = 3
_FLAGS_OF_PREADV2 = 5
_RWF_NOWAIT = 0x08
_OPTION_OF_PRCTL = 0
_COMMAND_OF_FCNTL = 1
_LOCKS_OF_RANGES = (6, 7, 37, 38)  # F_SETLK, F_SETLKW and those of open files
"""Each locked range takes memory of the kernel's, and a file may have any number."""
_WORD_OF_FILES = (1024, 1026)  # F_SETLEASE, which makes writers wait, and F_NOTIFY
_PROCESS = 0


def install(device: str, *, rooted: bool, apart: bool) -> None:
    """Makes system calls fail with EACCES that a representation has no need of.

    Args:
        device: "cpu", or "cuda", whose driver may need memory that is shared.
        rooted: Whether it sees no files but those it may read, and all of them read-only.
        apart: Whether it sees no processes but its own.

    Raises:
        OSError: the kernel or the machine has no such filter.
    """
    machine = os.uname().machine
    if machine not in _MACHINES:
        raise OSError(errno.ENOSYS, f"no filter for {machine}")
    column = _MACHINES.index(machine)
    denied = {**_TO_THE_OUTSIDE, **_MEMORY_THAT_ESCAPES, **_NEW_RIGHTS, **_OTHER_PROCESSES}
    denied |= _WHAT_LIES_IN_MEMORY | _MEMORY_OF_RULES
    if device == "cpu":
        denied |= _MEMORY_OF_NO_FILE
    if not rooted:
        denied |= _CHANGES_OF_ATTRIBUTES | _EVENTS_OF_FILES
    if not apart:
        denied |= _SCHEDULING
    program = bpf.only_architecture(machine, errno.EACCES)
    for numbers in denied.values():
        number = numbers[column]
        if number is not None:
            program += bpf.deny(number, errno.EACCES)
    if not apart:
        for numbers in _SCHEDULING_BY_NUMBER.values():
            number = numbers[column]
            if number is not None:
                program += bpf.deny_but_zero(number, _PROCESS, errno.EACCES)
    # Its flags lie in memory, where no filter sees them: the C library then takes clone.
    program += bpf.deny(_CLONE3[column], errno.ENOSYS)
    program += bpf.deny_any_flag(_CLONE[column], _FLAGS_OF_CLONE, _NEW_NAMESPACES, errno.EACCES)
    program += bpf.deny_any_flag(_PREADV2[column], _FLAGS_OF_PREADV2, _RWF_NOWAIT, errno.EACCES)
    program += bpf.deny_values(_PRCTL[column], _OPTION_OF_PRCTL, [_PR_SET_SECCOMP], errno.EACCES)
    commands = _WORD_OF_FILES + (_LOCKS_OF_RANGES if device == "cpu" else ())
    # Not EACCES, by which a locked range is told: who gets that may wait and try again.
    program += bpf.deny_values(_FCNTL[column], _COMMAND_OF_FCNTL, commands, errno.EPERM)
    if device == "cpu":
        shared = _MAP_SHARED | _MAP_ANONYMOUS
        program += bpf.deny_all_flags(_MMAP[column], _FLAGS_OF_MMAP, shared, errno.EACCES)
    program += bpf.ALLOW
    instructions = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // bpf.SIZE, ctypes.addressof(instructions))
    check(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0))
