"""Data of the user's own: a path in the place of a dataset's name."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluation.common.errors import KitError
from evaluation.data.factor_columns import Kind
from evaluation.data.own.arrays import HDF5, open_arrays_file
from evaluation.data.own.arrow_folder import is_arrow_folder, open_arrow_folder
from evaluation.data.own.dataset import OwnData, own_data
from evaluation.data.own.factor_files import chosen, read_factor_file
from evaluation.data.own.folder import open_folder


def open_own(
    path: Path | None,
    factors: Path | None,
    names: Sequence[str] | None = None,
    kinds: Mapping[str, Kind] | None = None,
    size: tuple[int, int] | None = None,
) -> OwnData:
    """Opens images and factors, or factors alone.

    Args:
        path: A folder of images, an `.npz` or HDF5 file, or a folder that `datasets` saved; None
            where there are no images.
        factors: A file of factors; None where `path` has them.
        names: The columns that are factors; all if None.
        kinds: What some factors are: see `factor_columns`.
        size: Height and width that the images of a folder are resized to.

    Raises:
        KitError: the data cannot be read, or are no images and factors.
    """
    kinds = kinds or {}
    for given in (path, factors):
        if given is not None and not given.exists():
            raise KitError("DATA-MISSING", f"There is no {given}", "Give the path of a file there")
    is_folder = path is not None and path.is_dir()
    is_saved = is_folder and path is not None and is_arrow_folder(path)
    if size is not None and (not is_folder or is_saved):
        raise _useless("--image-size", "a folder of image files")
    if factors is not None and is_saved:
        raise _useless("--factors", "data that have no factors of their own")
    if path is None:
        assert factors is not None
        return own_data(factors, chosen(read_factor_file(factors), names, factors), kinds)
    if is_folder:
        if is_saved:
            return open_arrow_folder(path, names, kinds)
        return open_folder(path, factors, names, kinds, size)
    if path.suffix.lower() not in (".npz", *HDF5):
        raise KitError(
            "DATA-KIND",
            f"{path} is no dataset that is known",
            f"Give a folder of images with a table, or a file .npz, {', '.join(HDF5)}",
        )
    columns = None if factors is None else read_factor_file(factors)
    return open_arrays_file(path, columns, names, kinds)


def _useless(flag: str, wanted: str) -> KitError:
    return KitError("DATA-FLAG", f"{flag} is for {wanted}, and these data are not that", "Omit it")
