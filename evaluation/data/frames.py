"""Files of frames: what must be in one, and the images of all its sets under common numbers.

A file is an `.npz`. `factor_names` holds the names of the k factors. Each other array is a set of
frames: uint8, (k, steps, height, width, 3). Row i walks factor i out and back while the others stay
as they are. All rows of a set begin with the same image.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.common.errors import KitError, first_line
from evaluation.common.files import sha256_of
from evaluation.common.images import ImageFormat, shape_in_words
from evaluation.common.npy import DAMAGE, check_headers
from evaluation.data.ground_truth import ImageGrid

NAMES = "factor_names"

_MOST_BYTES = 1 << 30
_MOST_SETS = 16


class Frames:
    """Sets of frames, as images with numbers; frames of the same pixels are one image.

    Args:
        name: What the user calls them.
        factor_names: What the rows of each set walk along.
        sets: Frames (factors, steps, height, width, 3) by the name of the set.
        fingerprint: A digest that changes when the frames change.

    Attributes:
        walks: By the name of the set, the numbers (factors, steps) of its images.
    """

    def __init__(
        self,
        name: str,
        factor_names: tuple[str, ...],
        sets: Mapping[str, NDArray[np.uint8]],
        fingerprint: str,
    ) -> None:
        self.name = name
        self.factor_names = factor_names
        self.fingerprint = fingerprint
        numbers: dict[bytes, int] = {}
        self.walks: dict[str, NDArray[np.int64]] = {}
        for title, frames in sets.items():
            steps = [
                numbers.setdefault(step.tobytes(), len(numbers)) for row in frames for step in row
            ]
            self.walks[title] = np.array(steps).reshape(frames.shape[:2])
        shape = next(iter(sets.values())).shape[2:]
        self._images = np.frombuffer(b"".join(numbers), np.uint8).reshape(-1, *shape)

    def __len__(self) -> int:
        return len(self._images)

    @property
    def image_format(self) -> ImageFormat:
        return ImageFormat.of(self._images)

    def images_at(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Images (n, height, width, 3) of the numbers (n,)."""
        return self._images[indices]


def read_frames(path: Path) -> Frames:
    """The frames in a file.

    Raises:
        KitError: `FRAMES-MISSING`, there is no such file; `FRAMES-FILE`, it holds something else.
    """
    if not path.is_file():
        raise KitError(
            "FRAMES-MISSING",
            f"{path} is no file",
            "Give a file of frames by --frames; docs/grader.md says what must be in it",
        )
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > _MOST_BYTES:
            raise ValueError(
                f"it has {size:,} bytes when unpacked, of which {_MOST_BYTES:,} may be"
            )
        check_headers(path)
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
        others = [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]
        if others:
            raise ValueError(f"{others[0]} in it is no array")
        names, sets = _checked(arrays)
        return Frames(str(path), names, sets, sha256_of(path))
    except DAMAGE as error:
        raise KitError(
            "FRAMES-FILE",
            f"{path} does not hold frames: {first_line(error)}",
            "Give an .npz as docs/grader.md describes it",
        ) from None


def frames_beside(dataset: ImageGrid, frames: Frames) -> NDArray[np.uint8]:
    """The set of frames that stands for the same look as a dataset, in the order of its factors.

    Args:
        dataset: The name of the set is a part of its name, as "real" of "mpi3d_sim_real_mini".

    Returns:
        Frames (factors, steps, height, width, 3).

    Raises:
        KitError: `FRAMES-SET`, there is no such set, or it has other factors, or other images.
    """
    title = next((name for name in frames.walks if name in dataset.name.split("_")), None)
    if title is None:
        raise _no_set(
            f"{frames.name} holds {', '.join(frames.walks)}: none is a part of the name"
            f" {dataset.name}"
        )
    missing = sorted(set(dataset.factor_names) - set(frames.factor_names))
    if missing:
        raise _no_set(f"{frames.name} has no walk along {', '.join(missing)} of {dataset.name}")
    rows = [frames.factor_names.index(name) for name in dataset.factor_names]
    images = frames.images_at(frames.walks[title][rows])
    if images.shape[2:4] != tuple(dataset.observation_shape[:2]):
        raise _no_set(
            f"the images of {frames.name} are {shape_in_words(images.shape[2:])}, and those of"
            f" {dataset.name} {shape_in_words(dataset.observation_shape)}"
        )
    return images


def _no_set(problem: str) -> KitError:
    return KitError("FRAMES-SET", problem, "Name a file that has it, or leave out --beside")


def _checked(
    arrays: dict[str, NDArray],
) -> tuple[tuple[str, ...], dict[str, NDArray[np.uint8]]]:
    """The factors' names and the sets of an `.npz`.

    Raises:
        ValueError: they are not as this module says.
    """
    names = arrays.pop(NAMES, None)
    if names is None or names.ndim != 1 or names.dtype.kind != "U" or len(names) < 2:
        raise ValueError(f"{NAMES} must be an array of two names or more")
    if len(set(names.tolist())) < len(names):
        raise ValueError(f"{NAMES} holds a name twice: {', '.join(names.tolist())}")
    if not 1 <= len(arrays) <= _MOST_SETS:
        raise ValueError(
            f"it has {len(arrays)} sets of frames beside {NAMES}, not 1 to {_MOST_SETS}"
        )
    shapes = set()
    for title, frames in arrays.items():
        shape = shape_in_words(frames.shape)
        if frames.dtype != np.uint8 or frames.ndim != 5 or frames.shape[-1] != 3:
            raise ValueError(
                f"{title} is {shape} of {frames.dtype}, not factors x steps x height x width x 3 "
                "of uint8"
            )
        if len(frames) != len(names) or frames.shape[1] < 2 or 0 in frames.shape:
            raise ValueError(
                f"{title} is {shape}, but {NAMES} has {len(names)}, and a row needs 2 steps or more"
            )
        if (frames[:, 0] != frames[0, 0]).any():
            raise ValueError(f"the rows of {title} do not begin with the same image")
        shapes.add(frames.shape[2:])
    if len(shapes) > 1:
        raise ValueError("its sets have images of different sizes")
    return tuple(str(name) for name in names), arrays
