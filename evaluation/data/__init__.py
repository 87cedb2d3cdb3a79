"""The datasets by name: the field's, and a simulated MPI3D that the kit renders itself.

Each is described and opened by a module of `sets`; importing this opens none of them.
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
        name: One of `DATASETS`. The file of one that the kit does not render must be there.
        root: Folder that holds one folder a dataset; `environment.data_root()` if None.

    Raises:
        KitError: no such name, or the data cannot be had, read or written.
    """
    dataset = find_dataset(name)
    root = root or data_root()
    if root.exists() and not root.is_dir():
        raise KitError("DATA-ROOT", f"{root} is not a folder", "Name the folder of the datasets")
    return dataset.open(name, root)


def find_dataset(name: str) -> Dataset:
    """The dataset of that name; nothing is opened.

    Raises:
        KitError: there is none.
    """
    if name not in DATASETS:
        raise KitError(
            "DATA-NAME", f"There is no dataset {name!r}", f"Choose one of {', '.join(DATASETS)}"
        )
    return DATASETS[name]
