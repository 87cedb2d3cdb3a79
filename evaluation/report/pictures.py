"""Pictures as a page holds them, and images of a dataset side by side."""

import base64
import io
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.common.errors import KitError
from evaluation.common.images import as_floats
from evaluation.report.shown_data import ShownData

_SIDE = 64
"""Pixels that the longer side of an image takes at most: as a page shows it."""


class DataUri(str):
    """An address that holds a whole file. All its letters are this kit's."""


class Picture(NamedTuple):
    """A picture, or the reason why there is none.

    Args:
        source: Its address, which holds all of it; empty if there is none.
        text: What it shows, for who does not see it, or why it is missing.
    """

    source: str
    text: str


def strip(data: ShownData, indices: NDArray[np.int64], text: str) -> Picture:
    """The images of the numbers (n,) in one row, or the reason why they cannot be read."""
    try:
        return Picture(_side_by_side(data.images_at(indices)), text)
    except (KitError, OSError) as error:
        return Picture("", f"The images cannot be read: {error}")


def _side_by_side(images: NDArray) -> DataUri:
    from PIL import Image

    pictures = _colours(images)
    height, width = pictures.shape[1:3]
    row = Image.fromarray(np.concatenate(list(pictures), axis=1))
    scale = min(1.0, _SIDE / max(height, width))
    if scale < 1:
        row = row.resize((round(scale * width) * len(pictures), round(scale * height)))
    stored = io.BytesIO()
    row.save(stored, "JPEG", quality=88)
    return data_uri("image/jpeg", stored.getvalue())


def data_uri(kind: str, content: bytes) -> DataUri:
    """A file as an address that holds all of it."""
    return DataUri(f"data:{kind};base64,{base64.b64encode(content).decode()}")


def _colours(images: NDArray) -> NDArray[np.uint8]:
    """Images (n, height, width, 3) of 0 to 255; of other numbers of channels the first counts."""
    bytes_of = (as_floats(images).clip(0, 1) * 255).round().astype(np.uint8)
    if bytes_of.shape[-1] >= 3:
        return bytes_of[..., :3]
    return np.repeat(bytes_of[..., :1], 3, axis=-1)
