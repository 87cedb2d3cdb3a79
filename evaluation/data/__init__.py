"""The datasets by name. Importing this loads none of them.

They are MPI3D as published, and a simulated one that the kit renders itself.
"""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from evaluation.common.environment import data_root
from evaluation.common.errors import KitError
from evaluation.data.ground_truth import ImageGrid


@dataclass(frozen=True)
class Dataset:
    """Where a dataset is found.

    Args:
        name: Its name, and that of its folder.
        function: `module.function` within `evaluation.data`. Called with the name and the folder of
            one folder a dataset, it gives the `ImageGrid`.
        rendered: Whether the kit makes the images, where they are not there.
    """

    name: str
    function: str
    rendered: bool = False

    def open(self, root: Path) -> ImageGrid:
        """The dataset, opened."""
        module, function = self.function.rsplit(".", 1)
        opened: ImageGrid = getattr(import_module(f"{__name__}.{module}"), function)(
            self.name, root
        )
        return opened


_ALL = (
    *(
        Dataset(f"mpi3d_{domain}", "mpi3d.open_published")
        for domain in ("toy", "realistic", "real", "real_complex")
    ),
    *(
        Dataset(f"mpi3d_sim_{look}{layout}", "simulated.open_simulated", rendered=True)
        for layout in ("", "_4x4", "_mini")
        for look in ("toy", "realistic", "real")
    ),
)

DATASETS = {dataset.name: dataset for dataset in _ALL}


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
    return dataset.open(root)


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
