"""numba, with its machine code kept on disk even where the source tree is read-only."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

if not os.access(Path(__file__).parent, os.W_OK):
    # numba refuses to cache where it can write neither beside the source nor in HOME, as in a
    # container with a read-only root; it reads this variable when it is imported.
    os.environ.setdefault("NUMBA_CACHE_DIR", f"{tempfile.gettempdir()}/numba-{os.getuid()}")

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])


def njit(function: _Function) -> _Function:
    """Compiles on first call, keeps the result on disk, and lets other threads run meanwhile.

    Division by zero gives what NumPy gives, since the check for it would keep loops scalar.
    """
    return cast(_Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
