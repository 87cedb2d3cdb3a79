"""The secret order in which a representation gets the images.

If a representation knew the order, it could count its images and look up their factors. So the
order depends on a secret key of this checkout, on the representation and on the dataset. With the
same key, a second run gives exactly the same order.
"""

import hashlib
import hmac
import os
import secrets
import stat
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from evaluation.common import environment
from evaluation.common.files import locked

_KEY_BYTES = 32
_FOLDER = environment.SCRATCH / "order"


def generator_for(purpose: str, sha256: str, fingerprint: str) -> np.random.Generator:
    """A random generator that only this checkout can make, and that is the same in each run.

    Args:
        purpose: What it is for; each purpose gets other numbers.
        sha256: Hash of the representation.
        fingerprint: Hash of the dataset's images.
    """
    about = "\0".join((purpose, sha256, fingerprint)).encode()
    digest = hmac.digest(_key_of_this_process(_FOLDER), about, hashlib.sha256)
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


@cache
def _key_of_this_process(folder: Path) -> bytes:
    return key_in(folder)


def key_in(folder: Path) -> bytes:
    """The key stored in `folder`, in bytes; the first process that needs it makes it.

    If `folder` is not writable, each process has another key. The order is still secret, but a
    second run has another order.
    """
    path = folder / "key"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(folder, "the key"):
            key = _read(path)
            if key is None:
                key = secrets.token_bytes(_KEY_BYTES)
                _write(path, key)
        return key
    except OSError:
        return secrets.token_bytes(_KEY_BYTES)


def _read(path: Path) -> bytes | None:
    """The key, unless it is absent, damaged, another user's, or was readable for others."""
    try:
        status = path.lstat()
        key = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
    except FileNotFoundError:
        return None
    private = status.st_mode & 0o077 == 0 and status.st_uid == os.geteuid()
    return key if private and len(key) == _KEY_BYTES else None


def _write(path: Path, key: bytes) -> None:
    handle, temporary = tempfile.mkstemp(prefix=".key.", dir=path.parent)  # mode 0600
    with os.fdopen(handle, "wb") as stream:
        stream.write(key)
        stream.flush()
        os.fsync(handle)
    Path(temporary).replace(path)
