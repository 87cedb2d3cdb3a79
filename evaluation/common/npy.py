"""The headers of `.npy` files, written and read apart from the array."""

import ast
import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike

_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_FORMS = {(1, 0): ("<H", "latin1"), (2, 0): ("<I", "latin1"), (3, 0): ("<I", "utf-8")}
"""By version, how the length of the header is written, and the encoding of its text."""

DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    MemoryError,  # the header of an array may say any size
    RuntimeError,  # an archive with a password, or an unknown compression
    lzma.LZMAError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What NumPy and zipfile raise for files of something else, and for damaged ones."""

_LONGEST_HEADER = 1 << 20
_MOST_BYTES = 1 << 62
_TYPE = re.compile(r"[<>|=]?([a-zA-Z?]\d*|[mM]8\[\d*[a-zA-Z]+\])")
_LONG_OF_PYTHON_2 = re.compile(r"(?<=\d)L\b")


def header_of(shape: Sequence[int], dtype: DTypeLike) -> bytes:
    """The header of an `.npy` file with an array of that shape and type, in C order."""
    stream = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    header = {"descr": descr, "fortran_order": False, "shape": tuple(shape)}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


def read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Reads the header, and leaves the stream at the first byte of the array.

    Returns:
        The shape, whether the array is in Fortran order, and the type.

    Raises:
        ValueError: it is not an `.npy` file, has a version that only structured arrays need, or a
            header that says no type or shape that can be.
    """
    version, content = _checked_header(stream)
    if version not in _READERS:
        raise ValueError(f"version {version} of the format is for structured arrays")
    try:
        shape, fortran, dtype = _READERS[version](io.BytesIO(content))
    except Exception as error:  # of many kinds, by what it holds
        raise _damaged(error) from None
    if not all(type(side) is int and 0 <= side < _MOST_BYTES for side in shape):
        raise ValueError(f"its header says the shape {shape}")
    return shape, fortran, dtype


def check_headers(path: Path, names: Iterable[str] | None = None) -> None:
    """Looks at the headers in an `.npy` or `.npz` before NumPy does.

    For a header's text, which may be anything, NumPy raises errors of many kinds, and the unit of
    time `s/0` even ends the process.

    Args:
        path: The file.
        names: The arrays of an `.npz` that are there and will be read; all if None.

    Raises:
        ValueError: one of them is no header of an array.
    """
    if path.suffix.lower() == ".npy":
        with path.open("rb") as stream:
            _checked_header(stream)
        return
    with zipfile.ZipFile(path) as archive:
        members = archive.namelist() if names is None else [f"{name}.npy" for name in names]
        for member in members:
            if member.endswith(".npy"):
                with archive.open(member) as stream:
                    _checked_header(stream)


def _checked_header(stream: IO[bytes]) -> tuple[tuple[int, int], bytes]:
    """The version of an `.npy` file, and its header with its length, whose types are known."""
    version = np.lib.format.read_magic(stream)
    if version not in _FORMS:
        raise ValueError(f"there is no version {version} of the format")
    form, encoding = _FORMS[version]
    length = stream.read(struct.calcsize(form))
    if len(length) < struct.calcsize(form):
        raise ValueError("its header is cut short")
    (size,) = struct.unpack(form, length)
    if size > _LONGEST_HEADER:
        raise ValueError(f"its header has {size:,} bytes; {_LONGEST_HEADER:,} are allowed")
    text = stream.read(size)
    try:
        _require_known_types(_parsed(text.decode(encoding))["descr"])
    except Exception as error:  # of many kinds, by what it holds
        raise _damaged(error) from None
    return version, length + text


def _damaged(error: Exception) -> ValueError:
    return ValueError(f"its header says no array: {str(error)[:100] or type(error).__name__}")


def _parsed(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except SyntaxError:
        return ast.literal_eval(_LONG_OF_PYTHON_2.sub("", text))


def _require_known_types(described: Any) -> None:
    """Refuses what is neither a type's name nor a list of fields, each with its name and type."""
    if isinstance(described, list):
        for field in described:
            _require_known_types(field[1])
    elif not isinstance(described, str) or not _TYPE.fullmatch(described):
        raise ValueError(f"no type is called {described!r}")
