"""Processes, network and shared memory of its own (`namespaces(7)`)."""

import os
from pathlib import Path

from evaluation.representation.sandbox.kernel import check, libc

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000


def enter() -> None:
    """Moves this process, and for process ids its next children, into namespaces of their own.

    A user namespace gives the right to do so. Where there is none to be had, root may have that
    right by itself.

    Raises:
        OSError: neither way is open.
    """
    user, group = os.geteuid(), os.getegid()
    apart = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC
    if libc.unshare(CLONE_NEWUSER | apart) < 0:
        check(libc.unshare(apart))
        return
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def own_mounts() -> None:
    """Gives this process mounts of its own, whose changes nobody else sees.

    Raises:
        OSError: it has not the right to.
    """
    check(libc.unshare(CLONE_NEWNS))
