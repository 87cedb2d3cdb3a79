"""Shuts a process in before it touches what a participant made (Linux).

Each layer works without privileges, and most of what one keeps out another keeps out too, for the
machines that lack it:

- `namespaces`: processes of its own, that all end when the first does; no network interface; no
  shared memory of others
- `private_root`: a file system that holds nothing but what is `readable` and a small writable
  folder in memory
- `landlock`: the same by rules, where the file system is the machine's; no signal to the outside
- `seccomp`: no socket, no memory that escapes being counted, no new namespace, nothing that looks
  into other processes
- no new privileges, no core files, no huge files, few open files

Memory, time, processes and threads are watched from outside, by `watching`. What all this is for,
and what stays open: docs/threat-model.md.
"""

import os
import resource
from collections.abc import Callable
from pathlib import Path

from evaluation.representation.limits import OPEN_FILES, WORK_MIB
from evaluation.representation.sandbox import (
    keeper,
    landlock,
    namespaces,
    private_root,
    privileges,
    seccomp,
)
from evaluation.representation.sandbox.readable import devices, readable_paths


def enter(work: Path, copy: Path, device: str, grader: int, *, capped: bool) -> list[str]:
    """Shuts the calling process in, with `work` as the one folder that it may write to.

    To be called before any thread is started. The process that returns is a child of the caller's,
    which stays outside to end everything when it gets SIGTERM, or when its own parent dies.

    Args:
        work: An empty folder, given as an absolute path.
        copy: The representation, which stays readable.
        device: "cpu", or a GPU's, for GPUs to stay reachable.
        grader: Process id of the parent, whose death ends everything.
        capped: Whether the kernel caps its memory (`memory_group`).

    Returns:
        What could not be had, a phrase each; empty where all is in force.
    """
    apart = _attempt(namespaces.enter)
    keeper.fork(grader)
    paths, nodes = readable_paths(copy, device), devices(device)
    rooted = _attempt(lambda: private_root.enter(work, paths, nodes))
    privileges.drop()
    ruled = _attempt(lambda: landlock.restrict_files(work, paths, nodes))
    scoped = _attempt(landlock.restrict_signals)
    filtered = _attempt(lambda: seccomp.install(device, rooted=rooted, apart=apart))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (WORK_MIB << 20, WORK_MIB << 20))
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, OPEN_FILES))
    os.chdir(work)  # anew: the folder that was the current one lies in the old file system

    counted = capped or (filtered and device == "cpu")
    in_force = {
        "processes are not kept in a namespace": apart,
        "its folder may grow without limit": rooted,
        "names and sizes of all files can be seen": rooted,
        "modes and times of files can be changed": rooted or filtered,
        "files of this user can be read": rooted or ruled,
        "files are not write-protected": rooted or ruled,
        "this user's processes can be ended, and what it starts may outlive it": apart or scoped,
        "other processes of this user can be looked into": apart or filtered,
        "shared memory may outlive it": apart or filtered,
        "the network is open": apart or filtered,
        "memory that no process has mapped is not counted": counted,
    }
    return [phrase for phrase, kept in in_force.items() if not kept]


def _attempt(layer: Callable[[], None]) -> bool:
    try:
        layer()
    except OSError:
        return False
    return True
