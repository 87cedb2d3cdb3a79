"""The headers of NumPy's files, read before what follows them."""

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
    """What an `.npy` of such an array, in C order, begins with."""
    stream = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype))
    header = {"descr": descr, "fortran_order": False, "shape": tuple(shape)}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


def read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran order, and type of the array whose content follows in the stream.

    Raises:
        ValueError: it is no `.npy`, or of a version that only structured arrays need.
    """
    version = np.lib.format.read_magic(stream)
    if version not in _READERS:
        raise ValueError(f"version {version} of the format is for structured arrays")
    return _READERS[version](stream)
