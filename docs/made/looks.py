"""Some scenes in every look of the simulated MPI3D, as a picture that stands in the page."""

import base64
import io

import numpy as np
from PIL import Image

from evaluation.data.simulated import rendering
from evaluation.data.simulated.looks import BACKGROUND_COLORS, OBJECT_COLORS

_SCENES = 8
_LOOKS = ("toy", "realistic", "real", "hard")
_OBJECTS = np.array(list(OBJECT_COLORS.values()), np.float32)
_RINGS = np.array(list(BACKGROUND_COLORS.values()), np.float32)


def scenes() -> str:
    """An image element: a row of 64 x 64 pixels a look, the same scenes below each other."""
    draws = np.random.RandomState(3)
    factors = [[draws.randint(size) for size in rendering.FULL_SIZES] for _ in range(_SCENES)]
    rows = [np.hstack([_image(look, scene) for scene in factors]) for look in _LOOKS]
    content = io.BytesIO()
    Image.fromarray(np.vstack(rows)).save(content, "png", optimize=True)
    source = base64.b64encode(content.getvalue()).decode()
    words = f"{_SCENES} scenes in the looks {', '.join(_LOOKS)}"
    style = "width: 100%; image-rendering: pixelated"
    return f'<img alt="{words}" style="{style}" src="data:image/png;base64,{source}">'


def _image(look: str, factors: list[int]) -> np.ndarray:
    color, shape, size, camera, background, horizontal, vertical = factors
    image = np.empty((1, 1, 64, 64, 3), np.uint8)
    rendering.draw(
        look,
        (shape, size, camera, horizontal, vertical),
        _OBJECTS[[color]],
        _RINGS[[background]],
        np.array([[np.ravel_multi_index(factors, rendering.FULL_SIZES)]]),
        image,
    )
    return image[0, 0]
