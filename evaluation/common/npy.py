"""The headers of `.npy` files, written and read apart from the array."""

import io
from collections.abc import Sequence
from typing import IO

import numpy as np
from numpy.typing import DTypeLike

_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


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
        ValueError: it is not an `.npy` file, or has a version that only structured arrays need.
    """
    version = np.lib.format.read_magic(stream)
    if version not in _READERS:
        raise ValueError(f"version {version} of the format is for structured arrays")
    return _READERS[version](stream)
