"""numba, with its machine code kept on disk even where the source tree is read-only."""

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

_SOURCES = Path(__file__).resolve().parent

if not os.access(_SOURCES, os.W_OK):
    # numba refuses to cache where it can write neither beside the source nor in HOME, as in a
    # container with a read-only root; it reads this variable when it is imported.
    os.environ.setdefault("NUMBA_CACHE_DIR", f"{tempfile.gettempdir()}/numba-{os.getuid()}")

import numba  # noqa: E402

njit: Any = partial(numba.njit, cache=True, nogil=True)
"""Compiles on first call, keeps the result on disk, and lets other Python threads run meanwhile."""
