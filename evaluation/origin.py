"""What scores and codes were made from."""

import hashlib
import importlib.metadata
import platform
from contextlib import suppress
from pathlib import Path

_PACKAGES = ("numpy", "scipy", "scikit-learn", "numba", "torch", "disentanglement-lib")
_SOURCES = Path(__file__).resolve().parent


def versions() -> dict[str, str]:
    """Versions of what a score may depend on, and is installed."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def source_digest(folder: Path = _SOURCES) -> str:
    """The hash of this package's code, with that of all its folders."""
    digest = hashlib.sha256()
    for source in sorted(folder.rglob("*.py")):
        digest.update(f"{source.relative_to(folder)}\0".encode())
        digest.update(source.read_bytes())
    return digest.hexdigest()
