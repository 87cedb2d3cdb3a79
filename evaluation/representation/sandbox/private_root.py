"""A file system that holds what may be read, and one small folder in memory to write to."""

import os
import struct
from collections.abc import Sequence
from pathlib import Path

from evaluation.representation.limits import WORK_FILES, WORK_MIB
from evaluation.representation.sandbox.kernel import call, check, libc
from evaluation.representation.sandbox.namespaces import own_mounts

_MS_NOSUID = 0x2
_MS_NODEV = 0x4
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_PRIVATE = 0x40000
_MNT_DETACH = 0x2

_SYS_MOUNT_SETATTR = 442
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_MOUNT_ATTR_RDONLY = 0x1
_MOUNT_ATTR_NOSUID = 0x2
_NO_PROPAGATION = 0
_NO_USER_NAMESPACE = 0

_FRAME = b"size=4m,nr_inodes=8192,mode=755"
_WORK = f"size={WORK_MIB}m,nr_inodes={WORK_FILES},mode=700".encode()


def enter(work: Path, readable: Sequence[Path], devices: Sequence[Path]) -> None:
    """Makes a new root for this process, with everything at the path where it was before.

    Args:
        work: A folder, empty afterwards, the only one that can be written to.
        readable: Files and folders that can be read.
        devices: Device nodes that can be read and written.

    Raises:
        OSError: it cannot; the file system is as it was.
    """
    own_mounts()
    check(libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None))
    root = work  # any folder will do to build it on
    check(libc.mount(b"tmpfs", os.fsencode(root), b"tmpfs", _MS_NOSUID | _MS_NODEV, _FRAME))
    try:
        for path in (*readable, *devices):
            _show(path, root)
        inner = _beneath(root, work)
        inner.mkdir(parents=True, exist_ok=True)
        _write_protect(root)
        check(libc.mount(b"tmpfs", os.fsencode(inner), b"tmpfs", _MS_NOSUID | _MS_NODEV, _WORK))
        os.chdir(root)
        check(libc.pivot_root(b".", b"."))
    except OSError:
        check(libc.umount2(os.fsencode(root), _MNT_DETACH))
        raise
    # The old root now lies over the new one, and goes.
    check(libc.umount2(b".", _MNT_DETACH))
    os.chdir("/")


def _beneath(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _show(path: Path, root: Path) -> None:
    """Makes `path` and all that is mounted in it appear beneath `root`."""
    place = _beneath(root, path)
    if path.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    check(libc.mount(os.fsencode(path), os.fsencode(place), None, _MS_BIND | _MS_REC, None))


def _write_protect(root: Path) -> None:
    attributes = struct.pack(
        "=4Q",
        _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID,
        0,  # attributes to take away
        _NO_PROPAGATION,
        _NO_USER_NAMESPACE,
    )
    call(
        _SYS_MOUNT_SETATTR,
        _AT_FDCWD,
        os.fsencode(root),
        _AT_RECURSIVE,
        attributes,
        len(attributes),
    )
