"""What scores and codes were made from."""

import hashlib
import importlib.metadata
import platform
from contextlib import suppress
from functools import cache
from pathlib import Path

_PACKAGES = ("numpy", "scipy", "scikit-learn", "numba", "torch", "disentanglement-lib")
_SOURCES = Path(__file__).resolve().parent


@cache
def versions() -> dict[str, str]:
    """Versions of what a score may depend on, and is installed. Not to be changed."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


@cache
def grader_digest() -> str:
    """The hash of this package's code as it was when this process first asked."""
    return source_digest(_SOURCES)


def source_digest(folder: Path) -> str:
    """The hash of the code in a folder and in all folders below."""
    digest = hashlib.sha256()
    for source in sorted(folder.rglob("*.py")):
        digest.update(f"{source.relative_to(folder)}\0".encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()
