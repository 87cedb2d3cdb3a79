"""SmallNORB: six files in its authors' own matrix format, plain or gzipped.

LeCun, Huang and Bottou, "Learning Methods for Generic Object Recognition with Invariance to Pose
and Lighting", CVPR 2004. The first image of each stereo pair is scaled to 64x64 as in
disentanglement_lib: with Pillow's Lanczos filter on 32-bit integers. A few pixels then are below 0
or above 255. So the images are floats, some of them slightly outside [0, 1].
"""

import gzip
import math
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

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

CATEGORY = Factor("category", ("animal", "human", "airplane", "truck", "car"))
INSTANCE = Factor.numbered("instance", 10)
FACTORS = (
    CATEGORY,
    INSTANCE,
    Factor.spaced("elevation", 30, 70, 9, "°"),
    Factor.spaced("azimuth", 0, 340, 18, "°"),
    Factor.numbered("lighting", 6),
)
"""The factors in the order of the files. Metrics do not see the instance, as in
disentanglement_lib."""

_HIDDEN = 1
_FOLDER = "small_norb"
_PARTS = ("5x46789x9x18x6x2x96x96-training", "5x01235x9x18x6x2x96x96-testing")
_PAIR = (2, 96, 96)
_SIZE = 64
_BYTES, _INTEGERS = 0x1E3D4C55, 0x1E3D4C54  # the first four bytes of a file give its type
_TYPES: dict[int, np.dtype] = {_BYTES: np.dtype(np.uint8), _INTEGERS: np.dtype("<i4")}
_READ_AT_ONCE = 512


def open_smallnorb(name: str, root: Path) -> ImageGrid:
    """Opens the six files in `<root>/small_norb`. The images are unpacked once, see `stored`.

    Raises:
        KitError: a file is missing or damaged, or the files do not hold each combination exactly
            once.
    """
    sizes = sizes_of(FACTORS)
    count = math.prod(sizes)
    origin = Origin(name, f"uint8 {(count // 2, *_PAIR)}")
    files = {
        (part, kind): first_file(root, [_place(part, kind), _place(part, kind) + ".gz"], origin)
        for part in _PARTS
        for kind in ("dat", "cat", "info")
    }
    made_from = {"files": [state_of(path) for path in files.values()]}

    def fill(target: NDArray) -> None:
        numbers = np.concatenate(
            [_numbers(files[part, "cat"], files[part, "info"], sizes, origin) for part in _PARTS]
        )
        seen = np.bincount(numbers, minlength=count)
        if len(numbers) != count or (seen != 1).any():
            twice = int(np.argmax(seen != 1))
            raise origin.layout(
                root / _FOLDER,
                f"describes {len(numbers):,} images, {seen[twice]} of them with the factors"
                f" {np.unravel_index(twice, sizes)}; {name} has one for each of {count:,}",
            )
        places = iter(numbers)
        with progress(f"Unpacking {name}", count) as advance:
            for part in _PARTS:
                for pairs in _pairs(files[part, "dat"], count // 2, origin):
                    for pair in pairs:
                        target[next(places), ..., 0] = _scaled(pair[0])
                    advance(len(pairs))

    shape = (count, _SIZE, _SIZE, 1)
    images, fingerprint = open_made(_FOLDER, root, made_from, shape, fill, "float32")
    shown = [factor for place, factor in enumerate(FACTORS) if place != _HIDDEN]
    return ImageGrid(
        name,
        images,
        sizes,
        names_of(shown),
        fingerprint,
        hidden=[_HIDDEN],
        value_names=values_of(shown),
        notes=[
            f"six files in {root / _FOLDER}; the instance of an object is not a factor, and is"
            " drawn for each observation",
            "disentanglement_lib 1.5 reads only unpacked files, and needs a Pillow older than 10",
        ],
    )


def _place(part: str, kind: str) -> str:
    return f"{_FOLDER}/smallnorb-{part}-{kind}.mat"


def _scaled(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    from PIL import Image

    # On 32-bit integers the filter does not clip, as in disentanglement_lib.
    scaled = Image.fromarray(image).convert("I").resize((_SIZE, _SIZE), Image.Resampling.LANCZOS)
    return (np.asarray(scaled) / 255.0).astype(np.float32)


def _numbers(cat: Path, info: Path, sizes: list[int], origin: Origin) -> NDArray[np.int64]:
    """The number (n,) in the grid of each image of a part."""
    with _matrix(cat, 1, _INTEGERS, origin) as (stream, shape):
        category = _read(stream, shape, _INTEGERS)
    with _matrix(info, 2, _INTEGERS, origin) as (stream, shape):
        rest = _read(stream, shape, _INTEGERS)
    if rest.shape != (len(category), 4):
        raise origin.other_array(
            info, "the numbers", str(rest.shape), f"{len(category)} rows of 4 as {cat.name}"
        )
    values = np.column_stack((category, rest)).astype(np.int64)
    azimuth = values[:, 3]
    if (azimuth % 2).any():
        raise origin.layout(info, f"has an azimuth of {azimuth[azimuth % 2 == 1][0]}; all are even")
    values[:, 3] = azimuth // 2
    for factor, column, size in zip(FACTORS, values.T, sizes, strict=True):
        if not 0 <= column.min() <= column.max() < size:
            raise origin.layout(
                cat if factor is FACTORS[0] else info,
                f"has a {factor.name} of {column.min()} to {column.max()}; it has {size} values",
            )
    return np.ravel_multi_index(tuple(values.T), sizes)


def _pairs(path: Path, count: int, origin: Origin) -> Iterator[NDArray[np.uint8]]:
    with _matrix(path, 4, _BYTES, origin) as (stream, shape):
        if shape != (count, *_PAIR):
            raise origin.other_array(path, "the images", f"uint8 {shape}")
        for start in range(0, count, _READ_AT_ONCE):
            yield _read(stream, (min(_READ_AT_ONCE, count - start), *_PAIR), _BYTES)


@contextmanager
def _matrix(
    path: Path, ndim: int, kind: int, origin: Origin
) -> Iterator[tuple[IO[bytes], tuple[int, ...]]]:
    """Yields a matrix's stream, positioned after its header, and its shape.

    Args:
        ndim: The number of dimensions that it must have.
        kind: The type that it must have, `_BYTES` or `_INTEGERS`.
    """
    opened: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with origin.reading(path, EOFError, zlib.error, ValueError), opened(path, "rb") as stream:
        found, dimensions = _read(stream, (2,), _INTEGERS).tolist()
        if found not in _TYPES:
            raise ValueError(f"it begins with {found:#x}")
        if (found, dimensions) != (kind, ndim):
            raise origin.other_array(
                path,
                "the numbers",
                f"{_TYPES[found]} in {dimensions} dimensions",
                f"{_TYPES[kind]} in {ndim}",
            )
        # The header stores at least three sizes, even for a matrix of fewer dimensions.
        shape = _read(stream, (max(3, ndim),), _INTEGERS).tolist()[:ndim]
        if min(shape) < 1 or math.prod(shape) > 1 << 33:
            raise ValueError(f"it has a shape of {tuple(shape)}")
        yield stream, tuple(shape)


def _read(stream: IO[bytes], shape: tuple[int, ...], kind: int) -> NDArray:
    size = math.prod(shape) * _TYPES[kind].itemsize
    content = stream.read(size)
    if len(content) != size:
        raise EOFError(f"it ends {size - len(content):,} bytes early")
    return np.frombuffer(content, _TYPES[kind]).reshape(shape)


_MD5 = {
    (_PARTS[0], "dat"): ("66054832f9accfe74a0f4c36a75bc0a2", 198_000_000),
    (_PARTS[0], "cat"): ("23c8b86101fbf0904a000b43d3ed2fd9", 1_000_000),
    (_PARTS[0], "info"): ("51dee1210a742582ff607dfd94e332e3", 1_000_000),
    (_PARTS[1], "dat"): ("e4ad715691ed5a3a5f138751a4ceb071", 198_000_000),
    (_PARTS[1], "cat"): ("5aa791cd7e6016cf957ce9bdb93b8603", 1_000_000),
    (_PARTS[1], "info"): ("a9454f3864d7fd4bb3ea7fc3eb84924e", 1_000_000),
}

DATASETS = (
    Dataset(
        name="smallnorb",
        open=open_smallnorb,
        shows="a toy on a turntable, photographed in grey",
        factors=(CATEGORY, *FACTORS[2:]),
        hidden=(INSTANCE,),
        image_shape=(_SIZE, _SIZE, 1),
        home="https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/",
        licence="for research only, as its page says",
        citation=Citation(
            key="lecun2004learning",
            kind="inproceedings",
            author="LeCun, Yann and Huang, Fu Jie and Bottou, Léon",
            title="Learning Methods for Generic Object Recognition with Invariance to Pose and"
            " Lighting",
            venue="IEEE Conference on Computer Vision and Pattern Recognition",
            year=2004,
        ),
        files=tuple(
            WebFile(
                f"{_place(part, kind)}.gz",
                f"https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/smallnorb-{part}-{kind}.mat.gz",
                size,
                f"md5:{md5}",
            )
            for (part, kind), (md5, size) in _MD5.items()
        ),
    ),
)
