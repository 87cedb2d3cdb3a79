"""The registry of datasets: those of the field, and a simulated MPI3D that the kit renders.

A module of `sets` describes and opens each dataset. Importing this package opens none of them.
"""

from pathlib import Path

from evaluation.common.environment import data_root
from evaluation.common.errors import KitError
from evaluation.data import simulated
from evaluation.data.dataset import Dataset
from evaluation.data.ground_truth import ImageGrid
from evaluation.data.sets import cars3d, dsprites, mpi3d, nvidia, shapes3d, smallnorb

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        *mpi3d.DATASETS,
        *dsprites.DATASETS,
        *shapes3d.DATASETS,
        *cars3d.DATASETS,
        *smallnorb.DATASETS,
        *nvidia.DATASETS,
        *simulated.DATASETS,
    )
}


def open_dataset(name: str, root: Path | None = None) -> ImageGrid:
    """Opens a dataset by name.

    Args:
        name: A key of `DATASETS`. Unless the kit renders the dataset, its files must exist.
        root: The folder that holds one folder for each dataset; None for
            `environment.data_root()`.

    Raises:
        KitError: `DATA-NAME`, no such dataset; `DATA-ROOT`, `root` is not a folder; other codes
            `DATA-…`, the data is missing, damaged, unreadable or cannot be written.
    """
    dataset = find_dataset(name)
    root = root or data_root()
    if root.exists() and not root.is_dir():
        raise KitError("DATA-ROOT", f"{root} is not a folder", "Name the folder of the datasets")
    return dataset.open(name, root)


def find_dataset(name: str) -> Dataset:
    """The registry's entry of that name. It opens no file.

    Raises:
        KitError: `DATA-NAME`, there is no such dataset.
    """
    if name not in DATASETS:
        raise KitError(
            "DATA-NAME", f"There is no dataset {name!r}", f"Choose one of {', '.join(DATASETS)}"
        )
    return DATASETS[name]
