"""Frames of a real dataset, to be drawn beside a simulated one: a walk along each factor."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.common.errors import KitError, first_line
from evaluation.data.ground_truth import ImageGrid


def frames_for(dataset: ImageGrid, path: Path) -> NDArray[np.uint8]:
    """Frames (factors, steps, height, width, 3), uint8 RGB, of what `dataset` stands for.

    Args:
        dataset: A part of its name, as "real" of "mpi3d_sim_real_mini", is the array to be taken.
        path: An .npz with such arrays.

    Raises:
        KitError: `DATA-MISSING`, `DATA-UNREADABLE`, `DATA-KEY` or `DATA-SHAPE`: there is no such
            file, it is damaged, has no such array, or one of another format.
    """
    if not path.is_file():
        raise KitError("DATA-MISSING", f"{path} is no file", "Name an .npz that holds frames")
    try:
        with np.load(path, allow_pickle=False) as archive:
            keys = list(archive)
            key = next((key for key in keys if key in dataset.name.split("_")), None)
            frames = archive[key] if key else None
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise KitError(
            "DATA-UNREADABLE",
            f"{path} cannot be read as an .npz ({first_line(error)})",
            "Fetch the file again",
        ) from error
    if frames is None:
        raise KitError(
            "DATA-KEY",
            f"{path} holds {', '.join(keys[:8]) or 'nothing'}: none is a part of the name"
            f" {dataset.name}",
            "Draw a dataset of which it has frames, or leave out --beside",
        )
    wanted = (dataset.num_factors, *dataset.observation_shape[:2], 3)
    if (
        frames.dtype != np.uint8
        or frames.ndim != 5
        or frames.shape[:1] + frames.shape[2:] != wanted
    ):
        raise KitError(
            "DATA-SHAPE",
            f"'{key}' of {path} is {frames.dtype} {frames.shape}; beside {dataset.name} go frames"
            f" of uint8 ({wanted[0]}, steps, {', '.join(map(str, wanted[1:]))})",
            "Name a file with such frames, or leave out --beside",
        )
    return frames
