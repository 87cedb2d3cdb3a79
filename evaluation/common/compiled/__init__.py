"""numba's compiler, with a cache on disk that notices every change of the sources.

numba's own cache notices only changes in the file of the function itself. But constants from other
modules are compiled in too, and would keep their old values. Here the folder of the cache is named
by the digest of all sources that the function's module imports from its own package, and by that of
the processor. `evaluation.metrics.compile` fills these folders during installation.
"""

import hashlib
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba import extending
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.registry import cpu_target

from evaluation.common.compiled.sources import digest_of_imports

_Function = TypeVar("_Function", bound=Callable[..., Any])

_OPTIONS: Any = {"nogil": True, "error_model": "numpy"}
"""Other threads can run while a function runs. Division by zero gives infinity or NaN, as in NumPy:
numba's check for zero would prevent vector instructions."""

_PREFIX = "compiled-"
_SECONDS_KEPT = 24 * 3600
"""How long code of older sources is kept: a process that still runs may have started with them."""

_compiled: list[Any] = []
"""All that `njit` has returned in this process."""


def njit(function: _Function) -> _Function:
    """Compiles a function at its first call, and keeps the machine code on disk."""
    compiled: Any = numba.njit(**_OPTIONS)(function)
    compiled._cache = _Cache(function)  # as `cache=True` does, but with our own folder
    _compiled.append(compiled)
    return cast(_Function, compiled)


def subroutine(function: _Function) -> _Function:
    """Marks a function that only compiled functions call: it is compiled as part of them.

    This saves compile time, as numba makes no version that Python can call, and writes only the
    callers to disk. Python code that calls it runs the Python function.
    """
    return extending.register_jitable(**_OPTIONS)(function)


def not_kept() -> list[str]:
    """Names of the functions decorated with `njit` so far that have no machine code on disk."""
    return [
        function.__name__ for function in _compiled if not function._cache._cache_file._load_index()
    ]


class _Locator(_CacheLocator):
    """Tells numba in which folder the code of a function is kept."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        self._py_file = file  # numba names it in warnings
        self._line = function.__code__.co_firstlineno
        self._sources = digest_of_imports(function.__module__, Path(file))
        self._folder = _folder_for(Path(file), self._sources)

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> "_Locator":
        return cls(function, file)

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return self._sources

    def get_disambiguator(self) -> str:
        return str(self._line)


class _Impl(CompileResultCacheImpl):
    pass


_Impl._locator_classes = [_Locator]


class _Cache(FunctionCache):
    _impl_class = _Impl

    def save_overload(self, sig: Any, data: Any) -> None:
        # If the folder is not writable, the next process compiles the function again.
        with suppress(OSError):
            super().save_overload(sig, data)


@cache
def _folder_for(file: Path, sources: str) -> Path:
    """The folder of the code made from these sources for this processor.

    It is beside the file if that place is writable, or if the folder came with an image.
    """
    name = f"{_PREFIX}{sources[:16]}-{_processor()}"
    beside = file.parent / "__pycache__"
    if given := os.environ.get("NUMBA_CACHE_DIR"):
        places = [Path(given) / _CacheLocator.get_suitable_cache_subpath(str(file))]
    else:
        if (beside / name).is_dir() and not os.access(beside / name, os.W_OK):
            return beside / name
        places = [beside, Path(tempfile.gettempdir()) / f"numba-{os.getuid()}"]
    for place in places:
        with suppress(OSError):
            place.mkdir(mode=0o777 if place == beside else 0o700, parents=True, exist_ok=True)
            # The process runs the code in this folder, so no other user may own it.
            if place != beside and not _is_own(place):
                continue
            _make_folder(place / name)
            return place / name
    return Path(tempfile.mkdtemp(prefix="numba-"))


def _is_own(place: Path) -> bool:
    """Whether nobody else can put code there: a link of another user's may lead to `/tmp`."""
    status = place.lstat()
    closed = stat.S_ISDIR(status.st_mode) and status.st_mode & 0o022 == 0
    return closed and status.st_uid == os.getuid()


@cache
def _processor() -> str:
    """A digest of the processor's kind: an image may run on another kind than it was built on."""
    target = cpu_target.target_context.codegen().magic_tuple()
    return hashlib.sha256(repr(target).encode()).hexdigest()[:8]


def _make_folder(folder: Path) -> None:
    """Makes the folder, or marks it as used, and removes folders unused for `_SECONDS_KEPT`."""
    folder.mkdir(exist_ok=True)
    tempfile.TemporaryFile(dir=folder).close()
    os.utime(folder)
    for other in folder.parent.glob(f"{_PREFIX}*"):
        with suppress(FileNotFoundError):
            if time.time() - other.stat().st_mtime > _SECONDS_KEPT:
                shutil.rmtree(other, ignore_errors=True)
