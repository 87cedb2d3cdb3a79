"""Cars3D: one MATLAB file for each car, in a folder or in the published archive.

Reed et al., "Deep Visual Analogy-Making", NeurIPS 2015. Images are scaled to 64x64 with Pillow's
Lanczos filter, as in disentanglement_lib.
"""

import io
import math
import tarfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.common.terminal import progress
from evaluation.data.dataset import (
    Citation,
    Dataset,
    Factor,
    WebFile,
    names_of,
    sizes_of,
    values_of,
)
from evaluation.data.ground_truth import ImageGrid
from evaluation.data.sets.refusals import Origin, first_file, state_of
from evaluation.data.storage.stored import open_made

FACTORS = (
    Factor.numbered("elevation", 4),
    Factor.spaced("azimuth", 0, 345, 24, "°"),
    Factor.numbered("object_type", 183),
)
_FOLDER = "cars"
_ARCHIVE = f"{_FOLDER}/nips2015-analogy-data.tar.gz"
_IN_ARCHIVE = "data/cars/"
_SIZE = 64
_MESH = (128, 128, 3, 24, 4)
_MOST_BYTES = 1 << 26
"""The largest file of a car; the published files have about 5 MB."""
_MOST_UNPACKED = 1 << 33
"""The largest unpacked size of the archive, which also holds other datasets."""

Meshes = Callable[[], Iterator[tuple[str, Callable[[], bytes]]]]
"""Yields for each car the name of its file, and a function that reads it. Call the function before
the next car."""


def open_cars3d(name: str, root: Path) -> ImageGrid:
    """Opens the cars of `<root>/cars`: .mat files, or the archive with these files.

    Cars are numbered in alphabetical order of their file names.

    Raises:
        KitError: files are missing or damaged, there are too few or too many, or they cannot be
            unpacked.
    """
    sizes = sizes_of(FACTORS)
    shape = (math.prod(sizes), _SIZE, _SIZE, 3)
    origin = Origin(name, f"uint8 {_MESH}")
    files = sorted((root / _FOLDER).glob("*.mat"))
    meshes: Meshes
    if files:
        made_from: dict[str, Any] = {"files": [state_of(file) for file in files]}
        meshes = partial(_in_folder, files, origin)
        place = f"{len(files)} files in {root / _FOLDER}"
    else:
        archive = first_file(root, [_ARCHIVE], origin)
        made_from = state_of(archive)
        meshes = partial(_in_archive, archive, origin)
        place = str(archive)

    def fill(target: NDArray) -> None:
        _scale(name, meshes, root / _FOLDER, target.reshape(*sizes, *shape[1:]), origin)

    images, fingerprint = open_made(_FOLDER, root, made_from, shape, fill)
    return ImageGrid(
        name,
        images,
        sizes,
        names_of(FACTORS),
        fingerprint,
        value_names=values_of(FACTORS),
        notes=[
            place,
            "disentanglement_lib 1.5 numbers the cars in the order in which the file system lists"
            " them, and needs a Pillow older than 10; here they are numbered by name",
        ],
    )


def _scale(
    name: str,
    meshes: Meshes,
    folder: Path,
    grid: NDArray[np.uint8],
    origin: Origin,
) -> None:
    """Fills the grid (elevation, azimuth, car, 64, 64, 3) with the cars, sorted by file name."""
    from PIL import Image

    # An archive can have the cars in any order, and memory cannot hold all of them.
    cars = {member: car for car, member in enumerate(sorted({member for member, _ in meshes()}))}
    if len(cars) != grid.shape[2]:
        raise origin.layout(folder, f"has {len(cars)} cars; {name} has {grid.shape[2]}")
    with progress(f"Unpacking {name}", len(cars)) as advance:
        for member, read in meshes():
            car, mesh = cars[member], _read_mesh(folder / member, read(), origin)
            for azimuth in range(grid.shape[1]):
                for elevation in range(grid.shape[0]):
                    picture = Image.fromarray(mesh[..., azimuth, elevation])
                    picture.thumbnail((_SIZE, _SIZE), Image.Resampling.LANCZOS)
                    grid[elevation, azimuth, car] = np.asarray(picture)
            advance(1)


def _read_mesh(path: Path, content: bytes, origin: Origin) -> NDArray[np.uint8]:
    """The images (128, 128, 3, azimuths, elevations) of a MATLAB file.

    Raises:
        KitError: the file is damaged, or its header names another array.
    """
    import scipy.io

    bad = (ValueError, TypeError, KeyError, IndexError, NotImplementedError, EOFError, zlib.error)
    with origin.reading(path, *bad, MemoryError, AttributeError, UnicodeDecodeError):
        held = {name: (shape, kind) for name, shape, kind in scipy.io.whosmat(io.BytesIO(content))}
        if "im" not in held:
            raise origin.lacks(path, list(held), "im")
        shape, kind = held["im"]
        if (shape, kind) != (_MESH, "uint8"):
            raise origin.other_array(path, "'im'", f"{kind} {shape}")
        mesh = scipy.io.loadmat(io.BytesIO(content), variable_names=["im"])["im"]
        if mesh.shape != _MESH or mesh.dtype != np.uint8:
            raise origin.other_array(path, "'im'", f"{mesh.dtype} {mesh.shape}")
        return np.ascontiguousarray(mesh)


def _in_folder(files: list[Path], origin: Origin) -> Iterator[tuple[str, Callable[[], bytes]]]:
    for file in files:
        with origin.reading(file):
            if file.stat().st_size > _MOST_BYTES:
                raise origin.layout(file, f"has {file.stat().st_size:,} bytes; cars have 5 MB")
            yield file.name, file.read_bytes


def _in_archive(path: Path, origin: Origin) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yields the cars in an archive, see `Meshes`. Nothing is written to the disk."""
    bad = (tarfile.TarError, EOFError, zlib.error, ValueError)
    with origin.reading(path, *bad), tarfile.open(path, "r:gz") as archive:
        unpacked = 0
        for member in archive:
            unpacked += member.size
            if unpacked > _MOST_UNPACKED:
                raise origin.layout(path, f"unpacks to more than {_MOST_UNPACKED >> 30} GiB")
            if member.name.startswith("/") or ".." in Path(member.name).parts:
                raise origin.layout(path, f"has a member {member.name!r} outside of the archive")
            if not (member.name.startswith(_IN_ARCHIVE) and member.name.endswith(".mat")):
                continue
            stream = archive.extractfile(member) if member.isreg() else None
            if stream is None or member.size > _MOST_BYTES:
                raise origin.layout(path, f"has a member {member.name!r} that is not a car")
            yield Path(member.name).name, stream.read


DATASETS = (
    Dataset(
        name="cars3d",
        open=open_cars3d,
        shows="a car, rendered",
        factors=FACTORS,
        image_shape=(_SIZE, _SIZE, 3),
        home="http://www.scottreed.info",
        licence="not stated by its source",
        citation=Citation(
            key="reed2015deep",
            kind="inproceedings",
            author="Reed, Scott and Zhang, Yi and Zhang, Yuting and Lee, Honglak",
            title="Deep Visual Analogy-Making",
            venue="Advances in Neural Information Processing Systems",
            year=2015,
        ),
        files=(
            WebFile(
                _ARCHIVE,
                "http://www.scottreed.info/files/nips2015-analogy-data.tar.gz",
                300_000_000,
                "md5:4e866a7919c1beedf53964e6f7a23686",
            ),
        ),
    ),
)
