"""dSprites, and its variants with a random colour, noise or painting around the sprite.

The file is one .npz of bits. A variant draws its random part for each observation, as the classes
of disentanglement_lib do. An image that is requested by its number gets a random part that depends
only on that number, so that it can be encoded once.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation.common.files import sha256_of
from evaluation.common.images import ImageFormat, as_floats
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
from evaluation.data.sets.refusals import Origin, first_file
from evaluation.data.storage.blocks import StoredImages
from evaluation.data.storage.stored import open_made

_FOLDER = "dsprites"
_NPZ = f"{_FOLDER}/dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
_SCREAM = "scream/scream.jpg"
FACTORS = (
    Factor("shape", ("square", "ellipse", "heart")),
    Factor.spaced("scale", 0.5, 1, 6),
    Factor.spaced("orientation", 0, 360, 40, "°"),
    Factor.spaced("position_x", 0, 1, 32),
    Factor.spaced("position_y", 0, 1, 32),
)

Paint = Callable[[NDArray[np.float32], RandomState], NDArray]
"""Maps sprites (n, 64, 64, 1), 0 or 1, to images (n, 64, 64, 3) in [0, 1]."""


def open_plain(name: str, root: Path) -> ImageGrid:
    """Opens dSprites. For the name `dsprites_noshape`, the shape is a hidden factor.

    Raises:
        KitError: the file is missing, damaged, not dSprites, or cannot be unpacked.
    """
    images, fingerprint, notes = _open(name, root)
    hidden = name == "dsprites_noshape"
    factors = FACTORS[1:] if hidden else FACTORS
    return ImageGrid(
        name,
        images,
        sizes_of(FACTORS),
        names_of(factors),
        fingerprint,
        hidden=[0] if hidden else [],
        value_names=values_of(factors),
        notes=notes,
    )


class PaintedSprites(ImageGrid):
    """dSprites with a random part in each observation.

    Args:
        name: Name of the variant.
        sprites: The sprites, uint8 (N, 64, 64, 1), 0 or 255.
        paint: Adds the random part.
        fingerprint: See `ImageGrid`.
        notes: See `ImageGrid`.
    """

    def __init__(
        self,
        name: str,
        sprites: StoredImages,
        paint: Paint,
        fingerprint: str,
        notes: list[str],
    ) -> None:
        sizes, names = sizes_of(FACTORS), names_of(FACTORS)
        values = values_of(FACTORS)
        super().__init__(name, sprites, sizes, names, fingerprint, value_names=values, notes=notes)
        self._paint = paint

    @property
    def draws(self) -> bool:
        return True

    @property
    def image_format(self) -> ImageFormat:
        return ImageFormat((64, 64, 3), "float32")

    def images_at(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Images (n, 64, 64, 3) of the numbers (n,); each number seeds its image's random part."""
        images = np.empty((len(indices), 64, 64, 3), np.float32)
        sprites = as_floats(self.images[indices])
        for row, number in enumerate(np.asarray(indices).tolist()):
            images[row] = self._paint(sprites[row : row + 1], RandomState(number))[0]
        return images

    def observations_at(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        return self.images_at(indices)

    def sample_observations_from_factors(
        self, factors: NDArray[np.int64], random_state: RandomState
    ) -> NDArray:
        numbers = self.sample_numbers(factors, random_state)
        return self._paint(as_floats(self.images[numbers]), random_state)


def open_painted(name: str, root: Path) -> ImageGrid:
    """Opens a variant of dSprites.

    Raises:
        KitError: a file is missing, damaged or wrong.
    """
    images, fingerprint, notes = _open(name, root)
    paint, painted_with = _PAINTS[name](name, root)
    own = hashlib.sha256(f"{fingerprint} {name} {painted_with}".encode()).hexdigest()
    notes.append(
        "each observation is drawn as in disentanglement_lib; but grading encodes each image once,"
        " so there the random part is drawn once, with the image's number as seed"
    )
    return PaintedSprites(name, images, paint, own, notes)


def in_colour(sprites: NDArray[np.float32], random_state: RandomState) -> NDArray:
    """Images (n, 64, 64, 3) of sprites in a random colour, each channel from 0.5 to 1."""
    return sprites * random_state.uniform(0.5, 1, [len(sprites), 1, 1, 3])


def on_noise(sprites: NDArray[np.float32], random_state: RandomState) -> NDArray:
    """Images (n, 64, 64, 3) of white sprites on uniform noise from 0 to 1."""
    return np.minimum(sprites + random_state.uniform(0, 1, [len(sprites), 64, 64, 3]), 1.0)


def on_painting(painting: NDArray[np.float64]) -> Paint:
    """Draws sprites as the negative of a random part of a painting (height, width, 3) in [0, 1]."""
    height, width, _ = painting.shape

    def paint(sprites: NDArray[np.float32], random_state: RandomState) -> NDArray[np.float32]:
        images = np.empty((len(sprites), 64, 64, 3), np.float32)
        for image, sprite in zip(images, sprites[..., 0], strict=True):
            row = random_state.randint(0, height - 64)
            column = random_state.randint(0, width - 64)
            part = painting[row : row + 64, column : column + 64]
            tinted = (part + random_state.uniform(0, 1, size=3)) / 2.0
            inside = sprite == 1
            tinted[inside] = 1 - tinted[inside]
            image[:] = tinted
        return images

    return paint


def _open(name: str, root: Path) -> tuple[StoredImages, str, list[str]]:
    count = math.prod(sizes_of(FACTORS))
    origin = Origin(name, f"uint8 ({count}, 64, 64)")
    npz = first_file(root, [_NPZ], origin)
    member = inspect(
        npz, "imgs", origin, lambda shape, dtype: shape == (count, 64, 64) and dtype == np.uint8
    )
    shape = (count, 64, 64, 1)

    def sprites() -> Iterator[NDArray[np.uint8]]:
        for bits in member.chunks(chunk_of(shape, "uint8")):
            if bits.max(initial=0) > 1:
                raise origin.layout(npz, f"has pixels of {bits.max()}; dSprites has 0 and 1")
            yield bits[..., np.newaxis] * np.uint8(255)

    def fill(target: NDArray) -> None:
        unpack(_FOLDER, sprites(), target)

    images, fingerprint = open_made(_FOLDER, root, member.made_from, shape, fill)
    return images, fingerprint, [f"bits of {npz}, unpacked to {images.path}"]


def _plainly(paint: Paint) -> Callable[[str, Path], tuple[Paint, str]]:
    return lambda *_: (paint, "")


def _with_scream(name: str, root: Path) -> tuple[Paint, str]:
    from PIL import Image, UnidentifiedImageError

    origin = Origin(name, "a picture in colour")
    path = first_file(root, [_SCREAM], origin)
    bad = (UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError)
    with origin.reading(path, *bad), Image.open(path) as picture:
        if picture.mode != "RGB":
            raise origin.layout(path, f"is a picture in {picture.mode}; it must be in RGB")
        picture.thumbnail((350, 274))
        painting = np.array(picture) * 1.0 / 255.0
    height, width, _ = painting.shape
    if min(height, width) <= 64:
        raise origin.layout(path, f"scales to {height}x{width}; both must be above 64")
    return on_painting(painting), sha256_of(path)


_PAINTS = {
    "color_dsprites": _plainly(in_colour),
    "noisy_dsprites": _plainly(on_noise),
    "scream_dsprites": _with_scream,
}

_FILE = WebFile(
    _NPZ,
    "https://github.com/google-deepmind/dsprites-dataset/raw/master/"
    "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz",
    26_000_000,
)
_SCREAM_FILE = WebFile(
    _SCREAM, "https://upload.wikimedia.org/wikipedia/commons/f/f4/The_Scream.jpg", 5_000_000
)


def _entry(name: str, shows: str, channels: int, *more: WebFile) -> Dataset:
    without_shape = name == "dsprites_noshape"
    return Dataset(
        name=name,
        open=open_painted if name in _PAINTS else open_plain,
        shows=shows,
        factors=FACTORS[1:] if without_shape else FACTORS,
        hidden=FACTORS[:1] if without_shape else (),
        image_shape=(64, 64, channels),
        home="https://github.com/google-deepmind/dsprites-dataset",
        licence="Apache-2.0",
        citation=Citation(
            key="dsprites17",
            kind="misc",
            author="Matthey, Loic and Higgins, Irina and Hassabis, Demis and Lerchner, Alexander",
            title="dSprites: Disentanglement testing Sprites dataset",
            venue="https://github.com/google-deepmind/dsprites-dataset",
            year=2017,
        ),
        files=(_FILE, *more),
    )


DATASETS = (
    _entry("dsprites_full", "a white sprite on black", 1),
    _entry("dsprites_noshape", "a white sprite on black, of a shape drawn at random", 1),
    _entry("color_dsprites", "a sprite in a random colour", 3),
    _entry("noisy_dsprites", "a white sprite on random noise", 3),
    _entry("scream_dsprites", "a sprite as the negative of a painting", 3, _SCREAM_FILE),
)
