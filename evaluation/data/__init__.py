"""Ground-truth datasets: MPI3D as published, and a simulated one that the kit renders itself."""

from pathlib import Path

from evaluation.common.environment import data_root
from evaluation.common.errors import KitError
from evaluation.data.ground_truth import ImageGrid


def open_dataset(name: str, root: Path | None = None) -> ImageGrid:
    """Opens a dataset by name, its images memory-mapped.

    Args:
        name: One of `mpi3d.DATASETS`, whose file must be there, or of `simulated.DATASETS`, which
            is rendered when it is not.
        root: Folder that holds one folder a dataset; `environment.data_root()` if None.

    Raises:
        KitError: no such name, or the data cannot be had, read or written.
    """
    from evaluation.data import mpi3d

    root = root or data_root()
    if root.exists() and not root.is_dir():
        raise KitError("DATA-ROOT", f"{root} is not a folder", "Name the folder of the datasets")
    if name in mpi3d.DATASETS:
        return mpi3d.open_published(name, root)

    from evaluation.data import simulated  # with it comes numba

    if name in simulated.DATASETS:
        return simulated.open_simulated(name, root)
    raise KitError(
        "DATA-NAME",
        f"There is no dataset {name!r}",
        f"Choose one of {', '.join([*mpi3d.DATASETS, *simulated.DATASETS])}",
    )
