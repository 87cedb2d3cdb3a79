"""`scores.json`: written whole, and reused while it was made from the same things."""

import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from evaluation import ledger

_PACKAGES = ("numpy", "scipy", "scikit-learn", "numba", "torch", "disentanglement-lib")
_SOURCES = Path(__file__).resolve().parent


def plain(value: Any) -> Any:
    """`value` as JSON knows it: arrays as lists, what is not finite as null."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value


def versions() -> dict[str, str]:
    """Versions of what a score may depend on, and is installed."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def reusable(path: Path, origin: Mapping[str, Any]) -> dict[str, Any] | None:
    """The scores at `path` if the grader made them from `origin`, with today's versions."""
    if not ledger.has(path):
        return None
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        same = report["made_from"] == origin and report["versions"] == versions()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return report if same else None


def source_digest() -> str:
    """The hash of this package's code."""
    digest = hashlib.sha256()
    for source in sorted(_SOURCES.rglob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()
