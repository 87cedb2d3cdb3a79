"""Images and factors as two arrays of an `.npz` or an HDF5 file."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.common.errors import KitError, first_line, require
from evaluation.common.files import readable_size
from evaluation.common.npy import check_headers, read_header
from evaluation.data.factor_columns import Kind
from evaluation.data.own.dataset import OwnData, own_data
from evaluation.data.own.factor_files import Columns, chosen, columns_of

HDF5 = (".h5", ".hdf5")
_KEYS = ("images", "factors")
_NAMES = "factor_names"


def open_arrays_file(
    path: Path,
    factors: Columns | None,
    names: Sequence[str] | None,
    kinds: Mapping[str, Kind],
) -> OwnData:
    """Opens a file with `images` (n, height, width[, channels]) and `factors` (n, k).

    The images are read into memory. They are uint8, or floats in [0, 1].

    Args:
        path: An `.npz` or HDF5 file. `factor_names`, k strings, may stand beside the two.
        factors: The columns of another file; those in this file if None.
        names: The columns that are factors; all if None.
        kinds: What some factors are.

    Raises:
        KitError: it cannot be read, lacks one of the two, or the images are none.
    """
    read = _read_hdf5 if path.suffix.lower() in HDF5 else _read_npz
    try:
        held = read(path, _KEYS[:1] if factors is not None else _KEYS)
        columns = _columns(held) if factors is None else factors
    except KitError:
        raise
    except Exception as error:  # of many kinds, by what a damaged file holds
        raise KitError(
            "DATA-DAMAGED",
            f"cannot read images and factors of {path} ({first_line(error)})",
            "Write it again, with numpy.savez, say",
        ) from error
    images = _checked(held["images"], path)
    digest = hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()
    return own_data(path, chosen(columns, names, path), kinds, images, digest)


def _read_npz(path: Path, keys: Sequence[str]) -> dict[str, NDArray]:
    import zipfile

    with zipfile.ZipFile(path) as archive:
        there = [name.removesuffix(".npy") for name in archive.namelist()]
        _require_keys(path, there, keys)
        for key in keys:
            with archive.open(f"{key}.npy") as stream:
                shape, _, dtype = read_header(stream)
            _require_room(path, key, int(np.prod(shape, dtype=np.float64)) * dtype.itemsize)
    check_headers(path, [name for name in (*keys, _NAMES) if name in there])
    with np.load(path, allow_pickle=False) as arrays:
        return {key: arrays[key] for key in (*keys, _NAMES) if key in there}


def _read_hdf5(path: Path, keys: Sequence[str]) -> dict[str, NDArray]:
    require("h5py")
    import h5py

    with h5py.File(path) as file:
        arrays = [name for name in file if isinstance(file[name], h5py.Dataset)]
        _require_keys(path, arrays, keys)
        for key in {*keys, _NAMES} & set(file):
            _require_own(file, key)
        for key in keys:
            _require_room(path, key, file[key].size * file[key].dtype.itemsize)
        held = {key: np.asarray(file[key][()]) for key in (*keys, _NAMES) if key in file}
        attributes = file["factors"].attrs if "factors" in file else {}
        if _NAMES in attributes and _NAMES not in held:
            held[_NAMES] = np.asarray(attributes[_NAMES])
        return held


def _require_own(file: Any, key: str) -> None:
    """Refuses an array of HDF5 whose content lies in other files, which can be any on the disk.

    Raises:
        ValueError: it does.
    """
    import h5py

    array, link = file[key], file.get(key, getlink=True)
    if isinstance(link, h5py.ExternalLink) or array.file != file:
        raise ValueError(f"its {key} lie in another file")
    if isinstance(array, h5py.Dataset) and (array.external or array.is_virtual):
        raise ValueError(f"its {key} are put together from other files")


def _columns(held: Mapping[str, NDArray]) -> Columns:
    columns = columns_of(held["factors"])
    if _NAMES not in held:
        return columns
    names = [
        name.decode() if isinstance(name, bytes) else str(name) for name in held[_NAMES].ravel()
    ]
    if len(set(names)) != len(columns):
        raise ValueError(f"factor_names are {', '.join(names)}, for {len(columns)} factors")
    return dict(zip(names, columns.values(), strict=True))


def _checked(images: NDArray, path: Path) -> NDArray:
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.size == 0:
        raise _other(path, f"have the shape {images.shape}")
    if images.shape[1] in (1, 3, 4) and images.shape[3] > 4:
        raise _other(path, f"have the shape {images.shape}, with channels first")
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind != "f":
        raise _other(path, f"are {images.dtype}")
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise _other(path, f"are {images.dtype} from {low:g} to {high:g}")
    return images.astype(np.float32, copy=False)


def _other(path: Path, found: str) -> KitError:
    return KitError(
        "DATA-SHAPE",
        f"the images of {path} {found}; they must be (n, height, width, channels), uint8 or floats"
        " in [0, 1]",
        "Write them so",
    )


def _require_keys(path: Path, there: Sequence[str], keys: Sequence[str]) -> None:
    for key in keys:
        if key not in there:
            raise KitError(
                "DATA-KEY",
                f"{path} holds {', '.join(there) or 'no array'}, not '{key}'",
                "Put images and factors there, or name a file of factors by --factors",
            )


def _require_room(path: Path, key: str, size: int) -> None:
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    if size > room:
        raise KitError(
            "DATA-MEMORY",
            f"the {key} of {path} take {readable_size(size)}, and {readable_size(room)} of memory"
            " are free",
            "Write the images as files in a folder, which are read one by one",
        )
