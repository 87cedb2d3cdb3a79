"""The data that a command names: a dataset of the registry, or the user's own."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluation.common import environment
from evaluation.common.errors import KitError
from evaluation.data import DATASETS, open_dataset
from evaluation.data.factor_columns import Kind
from evaluation.data.factor_table import Gradable
from evaluation.data.own import open_own


def open_data(
    dataset: str,
    root: Path,
    factors: Path | None,
    columns: Sequence[str] | None,
    kinds: Mapping[str, Kind],
    size: tuple[int, int] | None,
) -> Gradable:
    """Opens a dataset by its name, or the user's own data.

    Args:
        dataset: A name, or a path. The default name does not count where there are factors.
        root: Folder of one folder a dataset.
        factors: A file of factors, for data of the user's own; it may come without images.
        columns: The columns that are factors; all if None.
        kinds: What some factors are.
        size: Height and width that the images of a folder are resized to.

    Raises:
        KitError: there are no such data, or they cannot be read.
    """
    given = Path(dataset)
    flags = _flags_of(factors, columns, kinds, size)
    is_path = dataset not in DATASETS and (given.exists() or len(given.parts) > 1)
    if is_path:
        own = open_own(given, factors, columns, kinds, size)
        own.flags = ("--dataset", dataset, *flags)
        return own
    if factors is None:
        if columns or kinds or size:
            raise KitError(
                "DATA-FLAG",
                f"{dataset} is a dataset of the kit, whose factors and images are known",
                "Omit --factor-columns, --factor-kinds and --image-size",
            )
        return open_dataset(dataset, root)
    if dataset != environment.dataset_name():
        raise KitError(
            "FACTORS-DATASET",
            f"{dataset} has factors of its own, and --factors names others",
            "Give one of the two, or the path of your own images by --dataset",
        )
    own = open_own(None, factors, columns, kinds, size)
    own.flags = flags
    return own


def _flags_of(
    factors: Path | None,
    columns: Sequence[str] | None,
    kinds: Mapping[str, Kind],
    size: tuple[int, int] | None,
) -> tuple[str, ...]:
    """The flags that name data of the user's own, but for `--dataset`."""
    given = {
        "--factors": "" if factors is None else str(factors),
        "--factor-columns": ",".join(columns or ()),
        "--factor-kinds": ",".join(f"{name}={kind}" for name, kind in kinds.items()),
        "--image-size": "" if size is None else "x".join(map(str, size)),
    }
    return tuple(word for flag, value in given.items() if value for word in (flag, value))
