"""Image files of any kind as bytes: upright, in grey or RGB, of 8 bits a channel.

What is transparent keeps the colour that is stored for it. Of a file with several images, as an
animated GIF, the first counts.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.common.errors import KitError, first_line

_LYING = (5, 6, 7, 8)
"""Orientations in EXIF of a camera that lay on its side."""

_GREY = ("1", "L", "LA", "La")
_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N")
_WIDE = ("I", "F")
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF")
"""Those that hold pixels. Pillow tells formats by content, and for EPS it starts Ghostscript."""

_AS_SIXTEEN_BITS = ("PNG", "PPM")
"""Formats whose images of 16 bits Pillow may hold in 32."""


class Look(NamedTuple):
    """An image as it will be decoded: its height and width, and whether it has no colours."""

    size: tuple[int, int]
    is_grey: bool


def look(source: Path | IO[bytes]) -> Look:
    """What an image file holds; it is not decoded.

    Raises:
        ValueError: it has numbers of 32 bits.
        Exception: of many kinds, by what a damaged file holds.
    """
    from PIL import ExifTags

    with _opened(source) as image:
        height, width = image.height, image.width
        lies = image.getexif().get(ExifTags.Base.Orientation, 1) in _LYING
        is_grey = image.mode in _GREY or _is_deep(image)
        return Look((width, height) if lies else (height, width), is_grey)


def decode(
    source: Path | IO[bytes], *, grey: bool, size: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """An image (height, width, channels) with one channel, if `grey`, or with RGB.

    Args:
        source: A path or an open file.
        size: Height and width that it is resized to.

    Raises:
        ValueError: it has numbers of 32 bits.
        Exception: of many kinds, by what a damaged file holds.
    """
    from PIL import Image, ImageOps

    with _opened(source) as image:
        upright = ImageOps.exif_transpose(image)
        if _is_deep(image):
            upright = Image.fromarray(_to_bytes(np.asarray(upright)))
        if "transparency" in image.info:
            upright = upright.convert("RGBA")
        converted = upright.convert("L" if grey else "RGB")
        if size is not None:
            height, width = size
            converted = converted.resize((width, height), Image.Resampling.BILINEAR)
        pixels = np.asarray(converted, dtype=np.uint8)
        return pixels[..., np.newaxis] if grey else pixels


@contextmanager
def refusing(what: str, remedy: str) -> Iterator[None]:
    """Turns what reading an image raises into `DATA-DAMAGED`; `what` is the image, in words."""
    try:
        yield
    except Exception as error:  # of many kinds, by what a damaged file holds
        raise KitError(
            "DATA-DAMAGED",
            f"{what} cannot be read as an image ({first_line(error)})",
            remedy,
        ) from error


@contextmanager
def _opened(source: Path | IO[bytes]) -> Iterator[Any]:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        Image.init()
        known = [name for name in _FORMATS if name in Image.OPEN]
        with Image.open(source, formats=known) as image:
            if image.mode in _WIDE and not _is_deep(image):
                raise ValueError("its numbers have 32 bits; 8 or 16 bits a channel are read")
            yield image


def _is_deep(image: Any) -> bool:
    """Whether it has one channel of 16 bits."""
    return image.mode in _SIXTEEN_BITS or (image.mode == "I" and image.format in _AS_SIXTEEN_BITS)


def _to_bytes(pixels: NDArray) -> NDArray[np.uint8]:
    """Numbers of 16 bits on the scale of 8, rounded.

    Pillow's own conversion cuts what is above 255.
    """
    return ((pixels.astype(np.uint32) * 255 + 32_767) // 65_535).astype(np.uint8)
