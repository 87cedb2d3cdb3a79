"""Shapes3D: `3dshapes.h5` as published, or the .npz that disentanglement_lib reads.

Burgess and Kim, "3D Shapes Dataset", 2018.
"""

import math
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.common.files import locked
from evaluation.common.npy import header_of
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
from evaluation.data.sets.npz import chunk_of, inspect, unpack
from evaluation.data.sets.refusals import Origin, first_file, state_of
from evaluation.data.storage.records import place_to_write
from evaluation.data.storage.stored import fresh_file, open_made

FACTORS = (
    Factor.spaced("floor_color", 0, 0.9, 10),
    Factor.spaced("wall_color", 0, 0.9, 10),
    Factor.spaced("object_color", 0, 0.9, 10),
    Factor.spaced("object_size", 0.75, 1.25, 8),
    Factor("object_type", ("cube", "cylinder", "sphere", "capsule")),
    Factor.spaced("azimuth", -30, 30, 15, "°"),
)
_FOLDER = "3dshapes"
_H5 = f"{_FOLDER}/3dshapes.h5"
_NPZ = f"{_FOLDER}/look-at-object-room_floor-hueXwall-hueXobj-hueXobj-sizeXobj-shapeXview-azi.npz"
"""The file name that disentanglement_lib expects."""
_IMAGE = (64, 64, 3)


def open_shapes3d(name: str, root: Path) -> ImageGrid:
    """Opens the .h5, or the .npz if there is no .h5. The images are unpacked once, see `stored`.

    Raises:
        KitError: the file is missing, damaged, not Shapes3D, or cannot be unpacked.
    """
    shape = (math.prod(sizes_of(FACTORS)), *_IMAGE)
    origin = Origin(name, f"uint8 {shape}")
    path = first_file(root, [_H5, _NPZ], origin)
    chunks: Callable[[], Iterator[NDArray]]
    if path.suffix == ".h5":
        made_from = state_of(path)
        chunks = partial(_chunks_of_h5, path, shape, origin)
        note = "disentanglement_lib 1.5 reads an .npz that nobody publishes; to write it, run"
        notes = [f"HDF5, {path}", f"{note} python -m evaluation.data convert shapes3d"]
    else:
        wanted = (*sizes_of(FACTORS), *_IMAGE)
        member = inspect(path, "images", origin, lambda *of: of == (wanted, np.uint8))
        made_from = member.made_from
        chunks = partial(member._replace(shape=shape).chunks, chunk_of(shape, "uint8"))
        notes = [f"disentanglement_lib's .npz, {path}"]

    def fill(target: NDArray) -> None:
        unpack(name, chunks(), target)

    images, fingerprint = open_made(_FOLDER, root, made_from, shape, fill)
    return ImageGrid(
        name,
        images,
        sizes_of(FACTORS),
        names_of(FACTORS),
        fingerprint,
        value_names=values_of(FACTORS),
        notes=notes,
    )


def convert(name: str, root: Path) -> Path:
    """Writes the .npz that disentanglement_lib reads, with the labels of the .h5.

    Returns:
        Its path.

    Raises:
        KitError: the .h5 is missing or damaged, no folder is writable, or the disk is full.
    """
    import h5py

    sizes = sizes_of(FACTORS)
    origin = Origin(name, f"float64 labels {(math.prod(sizes), len(sizes))}")
    source = first_file(root, [_H5], origin)
    images = open_shapes3d(name, root).images
    with origin.reading(source, *_BAD_H5), h5py.File(source) as file:
        if "labels" not in file:
            raise origin.lacks(source, list(file), "labels")
        labels = np.asarray(file["labels"])
    if labels.shape != (len(images), len(sizes)):
        raise origin.other_array(source, "'labels'", f"{labels.dtype} {labels.shape}")
    path = place_to_write(_FOLDER, root) / Path(_NPZ).name
    with (
        locked(path.parent, name),
        fresh_file(path, images.nbytes + labels.nbytes) as temporary,
        zipfile.ZipFile(temporary, "w") as archive,
        progress(f"Writing {path.name}", len(images)) as advance,
    ):
        with archive.open("labels.npy", "w") as stream:
            np.lib.format.write_array(stream, labels.reshape(*sizes, len(sizes)))
        with archive.open("images.npy", "w", force_zip64=True) as stream:
            stream.write(header_of((*sizes, *_IMAGE), np.uint8))
            for start in range(0, len(images), 1024):
                chunk = images[start : start + 1024]
                stream.write(chunk.data)
                advance(len(chunk))
    return path


_MOST_ROWS = 16_384
"""The most images of an HDF5 file in memory at once: 200 MB."""

_BAD_H5 = (ValueError, KeyError, RuntimeError, TypeError)
"""The exceptions that h5py raises for a damaged file, beside OSError."""


def _chunks_of_h5(
    path: Path, shape: tuple[int, ...], origin: Origin
) -> Iterator[NDArray[np.uint8]]:
    """Yields the images in order, a whole chunk of the HDF5 file at a time."""
    import h5py

    with origin.reading(path, *_BAD_H5), h5py.File(path) as file:
        images = file.get("images")
        if not isinstance(images, h5py.Dataset):
            raise origin.lacks(path, list(file), "images")
        # An HDF5 file can refer to other files on this machine for its content.
        inside = isinstance(file.get("images", getlink=True), h5py.HardLink)
        if not inside or images.external or images.is_virtual:
            raise origin.layout(path, "has its images in other files")
        if images.shape != shape or images.dtype != np.uint8:
            raise origin.other_array(path, "'images'", f"{images.dtype} {images.shape}")
        rows = min(max(1024, images.chunks[0] if images.chunks else 0), _MOST_ROWS)
        for start in range(0, len(images), rows):
            yield images[start : start + rows]


DATASETS = (
    Dataset(
        name="shapes3d",
        open=open_shapes3d,
        convert=convert,
        shows="a coloured object in a coloured room",
        factors=FACTORS,
        image_shape=(64, 64, 3),
        home="https://github.com/google-deepmind/3d-shapes",
        licence="Apache-2.0",
        citation=Citation(
            key="3dshapes18",
            kind="misc",
            author="Burgess, Chris and Kim, Hyunjik",
            title="3D Shapes Dataset",
            venue="https://github.com/google-deepmind/3d-shapes",
            year=2018,
        ),
        files=(
            WebFile(
                _H5,
                "https://storage.googleapis.com/3d-shapes/3dshapes.h5",
                267_573_662,
                "sha256:0a0f6ed98baff276a50f3a081a7434d788da63cb135a98189b2a5b5769be1785",
            ),
        ),
    ),
)
