"""The headers of NumPy's files, read before what follows them."""

from typing import IO

import numpy as np

_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran order, and type of the array whose content follows in the stream.

    Raises:
        ValueError: it is no `.npy`, or of a version that only structured arrays need.
    """
    version = np.lib.format.read_magic(stream)
    if version not in _READERS:
        raise ValueError(f"version {version} of the format is for structured arrays")
    return _READERS[version](stream)
