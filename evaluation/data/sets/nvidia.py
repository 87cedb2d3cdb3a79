"""Isaac3D and Falcor3D: a folder of numbered PNGs, and an array of labels.

Nie et al., "Semi-Supervised StyleGAN for Disentanglement Learning", ICML 2020. The datasets' page
and the authors' program give different orders of Isaac3D's factors. The labels decide; if there is
no file of labels, the order is that of the program.
"""

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.common.files import sha256_of
from evaluation.common.npy import check_headers
from evaluation.common.terminal import progress
from evaluation.data.dataset import (
    Citation,
    Dataset,
    Factor,
    FileByHand,
    names_of,
    sizes_of,
    values_of,
)
from evaluation.data.ground_truth import ImageGrid
from evaluation.data.sets.refusals import Origin, first_file
from evaluation.data.storage.stored import open_made

FACTORS = {
    "isaac3d": tuple(
        Factor.spaced(name, 0, 1, size)
        for name, size in (
            ("object_shape", 3),
            ("robot_x-move", 8),
            ("robot_y-move", 5),
            ("camera_height", 4),
            ("object_scale", 4),
            ("lighting_intensity", 4),
            ("lighting_y-dir", 6),
            ("object_color", 4),
            ("wall_color", 4),
        )
    ),
    "falcor3d": tuple(
        Factor.spaced(name, 0, 1, size)
        for name, size in (
            ("lighting_intensity", 5),
            ("lighting_x-dir", 6),
            ("lighting_y-dir", 6),
            ("lighting_z-dir", 6),
            ("camera_x-pos", 6),
            ("camera_y-pos", 6),
            ("camera_z-pos", 6),
        )
    ),
}
_FOLDERS = {
    "isaac3d": ("isaac3d", "Isaac3D_down128", "Isaac3D"),
    "falcor3d": ("falcor3d", "Falcor3D_down128", "Falcor3D"),
}
_CHUNK = 256


def open_numbered(name: str, root: Path) -> ImageGrid:
    """Opens the PNGs in `images/` with their `labels.npy`. They are unpacked once, see `stored`.

    Raises:
        KitError: files are missing or damaged, or do not hold each combination exactly once.
    """
    factors = FACTORS[name]
    sizes = sizes_of(factors)
    count = math.prod(sizes)
    origin = Origin(name, f"{count:,} PNGs of one shape")
    images_at = first_file(root, [f"{folder}/images" for folder in _FOLDERS[name]], origin)
    labels_at = images_at.parent / "labels.npy"
    shape = (count, *_shape_of(images_at / "000000.png", origin))
    labelled = labels_at.is_file()
    made_from = {
        "images_changed": int(images_at.stat().st_mtime),
        "labels": sha256_of(labels_at) if labelled else None,
    }

    def fill(target: NDArray) -> None:
        places = np.arange(count)
        if labelled:
            places = _places(labels_at, sizes, origin)
        found = sum(1 for entry in os.scandir(images_at) if entry.name.endswith(".png"))
        if found != count:
            raise origin.layout(images_at, f"holds {found:,} PNGs; {name} has {count:,}")
        _unpack(name, images_at, places, target, origin)

    images, fingerprint = open_made(name, root, made_from, shape, fill)
    order = "the labels" if labelled else "their numbers, since there is no labels.npy"
    return ImageGrid(
        name,
        images,
        sizes,
        names_of(factors),
        fingerprint,
        value_names=values_of(factors),
        notes=[
            f"PNGs in {images_at}, in the order of {order}",
            "disentanglement_lib 1.5 does not know this set",
        ],
    )


def _shape_of(path: Path, origin: Origin) -> tuple[int, int, int]:
    image = _read(path, origin)
    return image.shape[0], image.shape[1], image.shape[2]


def _read(path: Path, origin: Origin) -> NDArray[np.uint8]:
    """An image (height, width, 3)."""
    from PIL import Image, UnidentifiedImageError

    if not path.exists():
        raise origin.layout(path.parent, f"has no {path.name}")
    bad = (UnidentifiedImageError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)
    with origin.reading(path, *bad), Image.open(path, formats=("PNG",)) as picture:
        if picture.mode != "RGB":
            raise origin.other_array(path, "the pixels", f"in {picture.mode}", "RGB")
        return np.asarray(picture)


def _places(path: Path, sizes: list[int], origin: Origin) -> NDArray[np.int64]:
    """The number (N,) in the grid of each image, from its labels (N, factors)."""
    count = math.prod(sizes)
    with origin.reading(path, ValueError, EOFError):
        check_headers(path)
        labels = np.load(path, mmap_mode="r")
    if labels.shape != (count, len(sizes)) or labels.dtype.kind not in "fiu":
        raise origin.other_array(
            path, "the labels", f"{labels.dtype} {labels.shape}", f"{(count, len(sizes))}"
        )
    values = np.empty(labels.shape, np.int64)
    for column, size in enumerate(sizes):
        known, values[:, column] = np.unique(labels[:, column], return_inverse=True)
        if len(known) != size:
            raise origin.layout(path, f"has {len(known)} values in column {column}, not {size}")
    places = np.ravel_multi_index(tuple(values.T), sizes)
    if len(np.unique(places)) != count:
        raise origin.layout(path, "gives two images the same labels")
    return places


def _unpack(
    name: str, folder: Path, places: NDArray[np.int64], target: NDArray[np.uint8], origin: Origin
) -> None:
    def read(number: int) -> NDArray[np.uint8]:
        path = folder / f"{number:06}.png"
        image = _read(path, origin)
        if image.shape != target.shape[1:]:
            wanted = f"{target.shape[1:]} as 000000.png"
            raise origin.other_array(path, "the pixels", str(image.shape), wanted)
        return image

    def chunks() -> Iterator[range]:
        for start in range(0, len(places), _CHUNK):
            yield range(start, min(start + _CHUNK, len(places)))

    with (
        ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool,
        progress(f"Unpacking {name}", len(places)) as advance,
    ):
        for chunk in chunks():  # one `map` over all images would keep all of them in memory
            for number, image in zip(chunk, pool.map(read, chunk), strict=True):
                target[places[number]] = image
            advance(len(chunk))


def _entry(name: str, shows: str, drive: str) -> Dataset:
    reason = "Google Drive asks a person to confirm"
    page = f"https://drive.google.com/uc?export=download&id={drive}"
    return Dataset(
        name=name,
        open=open_numbered,
        shows=shows,
        factors=FACTORS[name],
        image_shape=(128, 128, 3),
        home="https://github.com/NVlabs/High-res-disentanglement-datasets",
        licence="CC BY 4.0",
        citation=Citation(
            key="nie2020semi",
            kind="inproceedings",
            author="Nie, Weili and Karras, Tero and Garg, Animesh and Debnath, Shoubhik and Patney,"
            " Anjul and Patel, Ankit and Anandkumar, Animashree",
            title="Semi-Supervised StyleGAN for Disentanglement Learning",
            venue="International Conference on Machine Learning",
            year=2020,
        ),
        files=(
            FileByHand(f"{name}/images/ (PNGs, unzipped)", page, reason),
            FileByHand(f"{name}/labels.npy", page, "it lies in the same archive"),
        ),
    )


DATASETS = (
    _entry("isaac3d", "a robot arm in a kitchen, rendered", "1OmQ1G2wnm6eTsSFGTKFZZAh5D3nQTW1B"),
    _entry("falcor3d", "a living room, rendered", "1XAQfFK1x6cpN1eiovbP0hVfLTm5SsSoJ"),
)
