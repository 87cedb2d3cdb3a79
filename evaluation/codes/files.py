"""Files with a table of codes (`.npy`, `.npz`, `.pt`). Shape and type are checked first."""

import math
import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.common.errors import KitError, first_line
from evaluation.common.npy import DAMAGE, read_header
from evaluation.representation.limits import Limits

_NAME = "codes"
_TORCH = (".pt", ".pth")
_OBJECTS = "O"  # pickles, of any size; refused by their type
_DAMAGE = (*DAMAGE, KeyError)


class TableFile(NamedTuple):
    """A table of codes whose content is not read yet; `read()` reads it."""

    shape: tuple[int, ...]
    dtype: np.dtype
    read: Callable[[], NDArray]


def open_table(path: Path, most_dims: int) -> TableFile:
    """Opens a table of codes, and checks its shape and type without reading its content.

    An `.npz` holds one array, or one with the name `codes`. A `.pt` holds one plain tensor.

    Args:
        path: The file.
        most_dims: The largest number of columns that is allowed.

    Raises:
        KitError: `CODES-UNREADABLE`; `CODES-SHAPE`, it is not a table or has too many columns;
            `CODES-DTYPE`, its values are not real numbers.
    """
    try:
        table = _open_torch(path) if path.suffix in _TORCH else _open_numpy(path)
    except _DAMAGE as error:
        raise unreadable(path, error) from None
    if len(table.shape) not in (2, 3) or 0 in table.shape:
        raise KitError(
            "CODES-SHAPE",
            f"{path} holds an array of shape {table.shape}, and must hold (images, dims), or"
            " (images, tokens, width)",
            "Give one row of codes for each image, in the dataset's order",
        )
    if table.shape[1] > most_dims:
        raise KitError(
            "CODES-SHAPE",
            f"{path} holds codes of {table.shape[1]:,} dims; at most {most_dims:,} are allowed",
            "Give fewer, or raise --max-dims",
        )
    if len(table.shape) == 3:
        _require_width(path, table.shape, most_dims)
    if table.dtype.kind not in "fiu" or table.dtype.itemsize > 8:
        raise KitError(
            "CODES-DTYPE",
            f"{path} holds {table.dtype}, and must hold real numbers of at most 64 bits",
            "Save float32 or float64",
        )
    return table


def _require_width(path: Path, shape: tuple[int, ...], most_dims: int) -> None:
    _, tokens, width = shape
    together = Limits(dims=most_dims).token_numbers
    if width > most_dims or tokens * width > together:
        raise KitError(
            "CODES-SHAPE",
            f"{path} holds {tokens:,} tokens of {width:,} numbers; at most {most_dims:,} are"
            f" allowed, and {together:,} of all tokens",
            "Give fewer, or raise --max-dims",
        )


def read_table(path: Path, table: TableFile) -> NDArray:
    """The table (images, dims), or (images, tokens, width), as floats in native byte order.

    Integers become float64.

    Raises:
        KitError: `CODES-UNREADABLE`, the content cannot be read.
    """
    try:
        codes = table.read()
    except _DAMAGE as error:
        raise unreadable(path, error) from None
    if codes.dtype.kind != "f":
        return codes.astype(np.float64)
    return codes.astype(codes.dtype.newbyteorder("="), copy=False)


def unreadable(path: Path, error: Exception) -> KitError:
    """The error for a file that cannot be read as a table of codes."""
    return KitError(
        "CODES-UNREADABLE",
        f"cannot read {path} as a table of codes: {first_line(error)[:200]}",
        "Write it with numpy.save, as an array of floats",
    )


def _open_numpy(path: Path) -> TableFile:
    if zipfile.is_zipfile(path):
        return _open_archive(path)
    with path.open("rb") as stream:
        if stream.read(1) == b"":
            raise ValueError("it is empty")
        stream.seek(0)
        shape, _, dtype = read_header(stream)
        size, wanted = os.fstat(stream.fileno()).st_size, math.prod(shape) * dtype.itemsize
        if size - stream.tell() != wanted and dtype.kind != _OBJECTS:
            raise ValueError(f"it has {size - stream.tell():,} bytes of numbers, not {wanted:,}")
    return TableFile(shape, dtype, lambda: np.load(path, mmap_mode="r", allow_pickle=False))


def _open_archive(path: Path) -> TableFile:
    with zipfile.ZipFile(path) as archive:
        members = [name for name in archive.namelist() if name.endswith(".npy")]
        chosen = members if len(members) == 1 else [f"{_NAME}.npy"]
        if chosen[0] not in members:
            names = ", ".join(name.removesuffix(".npy") for name in members) or "none"
            raise ValueError(f"none of its arrays ({names}) is called {_NAME}")
        with archive.open(chosen[0]) as stream:
            shape, _, dtype = read_header(stream)

    def read() -> NDArray:
        with np.load(path, allow_pickle=False) as arrays:
            return np.asarray(arrays[chosen[0].removesuffix(".npy")])

    return TableFile(shape, dtype, read)


def _open_torch(path: Path) -> TableFile:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about TorchScript; it is refused below
            tensor = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception:  # torch raises errors of many kinds for a file without a plain tensor
        tensor = None
    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided or tensor.is_meta:
        raise ValueError("it does not hold exactly one plain tensor, written by torch.save")
    if tensor.dtype == torch.bfloat16:
        dtype = np.dtype(np.float32)
    else:
        try:
            dtype = torch.empty(0, dtype=tensor.dtype).numpy().dtype
        except TypeError:
            raise ValueError(f"NumPy does not know tensors of type {tensor.dtype}") from None
    return TableFile(
        tuple(tensor.shape),
        dtype,
        lambda: tensor.detach().to(torch.float32 if dtype == np.float32 else tensor.dtype).numpy(),
    )
