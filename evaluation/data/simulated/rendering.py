"""A simulated MPI3D: the seven factors of the real one, rendered here in seconds to minutes.

`mpi3d_sim_<look>` has every value of every factor; `_4x4` the layout of the challenge's own files;
`_mini` a few values of colour, shape and axes. All show the same scenes: an image of a smaller set
is to the byte an image of the full one.
"""

import math
import os
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.common.files import sha256_of
from evaluation.common.terminal import progress
from evaluation.data.ground_truth import ImageGrid
from evaluation.data.sets.mpi3d import FACTOR_NAMES
from evaluation.data.simulated import raycast
from evaluation.data.simulated.looks import (
    BACKGROUND_COLORS,
    HARD_LAMPS,
    LOOKS,
    OBJECT_COLORS,
    Look,
    compose,
    soften,
)
from evaluation.data.simulated.photograph import photograph
from evaluation.data.storage.stored import open_made

SHAPES = ("cone", "cube", "cylinder", "hexagonal", "pyramid", "sphere")  # as raycast numbers them
SIZES = {"small": 0.19, "large": 0.3}
CAMERAS = {  # angle above the table's plane, height of the point looked at
    "top": (math.radians(48), 0.42),
    "center": (math.radians(34), 0.66),
    "bottom": (math.radians(20), 0.78),
}
# The arm stays clear of the vertical, where its turn would not show.
YAWS = np.radians(np.linspace(-80, 80, 40))
ELEVATIONS = np.radians(np.linspace(-20, 65, 40))

VALUE_NAMES: dict[str, tuple[str, ...]] = {
    "object_color": tuple(OBJECT_COLORS),
    "object_shape": SHAPES,
    "object_size": tuple(SIZES),
    "camera_height": tuple(CAMERAS),
    "background_color": tuple(BACKGROUND_COLORS),
    "horizontal_axis": tuple(f"{math.degrees(yaw):.0f}°" for yaw in YAWS),
    "vertical_axis": tuple(f"{math.degrees(angle):.0f}°" for angle in ELEVATIONS),
}
FULL_SIZES = tuple(len(VALUE_NAMES[factor]) for factor in FACTOR_NAMES)

_FEW_COLORS = (0, 1, 2, 3)  # white, green, red, blue
_FEW_SHAPES = (raycast.CONE, raycast.CUBE, raycast.CYLINDER, raycast.SPHERE)
_SIX_OF_40 = (0, 8, 16, 23, 31, 39)
_SOURCES = ("rendering.py", "raycast.py", "looks.py", "draws.py", "photograph.py", "jpeg.py")
_ALL = tuple(tuple(range(size)) for size in FULL_SIZES)
SELECTIONS = {
    "": _ALL,
    "4x4": (_FEW_COLORS, _FEW_SHAPES, *_ALL[2:]),
    "mini": (_FEW_COLORS, _FEW_SHAPES, *_ALL[2:5], _SIX_OF_40, _SIX_OF_40),
}
"""Which values of each factor a set has, by what follows the look in its name."""


def open_simulated(name: str, root: Path) -> ImageGrid:
    """Opens `mpi3d_sim_<look>[_<selection>]`, rendering it first if this renderer has not yet.

    Raises:
        KitError: nothing can be written, or the disk has no room.
    """
    look, _, selected = name.removeprefix("mpi3d_sim_").partition("_")
    selection = SELECTIONS[selected]
    sizes = [len(values) for values in selection]
    made_from: dict[str, Any] = {
        "look": look,
        "values": [list(values) for values in selection],
        "renderer": {source: sha256_of(Path(__file__).with_name(source)) for source in _SOURCES},
    }

    def fill(images: NDArray[np.uint8]) -> None:
        grid = images.reshape(*sizes, *images.shape[1:])
        _render(name, look, selection, grid)

    shape = (math.prod(sizes), raycast.SIZE, raycast.SIZE, 3)
    images, fingerprint = open_made(name, root, made_from, shape, fill)
    value_names = [
        [VALUE_NAMES[factor][value] for value in values]
        for factor, values in zip(FACTOR_NAMES, selection, strict=True)
    ]
    return ImageGrid(name, images, sizes, FACTOR_NAMES, fingerprint, value_names=value_names)


def light_maps(
    look: Look, shape: int, size: int, camera: int, horizontal: int, vertical: int
) -> NDArray[np.float32]:
    """Light maps (6, 64, 64), see `raycast`, of one value of each factor that is no colour."""
    maps = np.empty((6, raycast.SIZE, raycast.SIZE), np.float32)
    scale = tuple(SIZES.values())[size]
    arm = (YAWS[horizontal], ELEVATIONS[vertical])
    raycast.cast(shape, scale, tuple(CAMERAS.values())[camera], arm, look, maps)
    if look.softness == 0:
        return maps
    softened = np.empty_like(maps)
    soften(maps, look.softness, softened)
    return softened


def draw(
    look: str,
    geometry: tuple[int, int, int, int, int],
    object_colors: NDArray[np.float32],
    ring_colors: NDArray[np.float32],
    numbers: NDArray[np.int64],
    images: NDArray[np.uint8],
) -> None:
    """Fills `images` (objects, rings, 64, 64, 3), uint8, with a geometry in every pair of colours.

    Args:
        look: A key of `LOOKS`, or "hard".
        geometry: Values of shape, size, camera, horizontal and vertical axis.
        object_colors: float32 (objects, 3).
        ring_colors: float32 (rings, 3).
        numbers: int64 (objects, rings), the number of each image in the full set.
        images: Written.
    """
    if look == "hard":
        lamps = np.stack([light_maps(lamp, *geometry) for lamp in HARD_LAMPS])
        photograph(lamps, object_colors, ring_colors, numbers, images)
        return
    maps = light_maps(LOOKS[look], *geometry)
    compose(maps, object_colors, ring_colors, LOOKS[look].noise, numbers, images)


def _render(
    name: str, look: str, selection: tuple[tuple[int, ...], ...], grid: NDArray[np.uint8]
) -> None:
    """Fills `grid` (one axis a factor, then 64, 64, 3).

    A task is what shares shape, size, camera and horizontal axis; tasks share no pixel, so that
    neither their order nor their number matters.
    """
    colors, shapes, sizes, cameras, backgrounds, horizontals, verticals = selection
    object_colors = np.array(tuple(OBJECT_COLORS.values()), np.float32)[list(colors)]
    ring_colors = np.array(tuple(BACKGROUND_COLORS.values()), np.float32)[list(backgrounds)]
    numbers = np.arange(math.prod(FULL_SIZES)).reshape(FULL_SIZES)

    def render(task: tuple[tuple[int, int], ...]) -> None:
        (s, shape), (z, size), (c, camera), (h, horizontal) = task
        for v, vertical in enumerate(verticals):
            geometry = (shape, size, camera, horizontal, vertical)
            own = numbers[:, shape, size, camera, :, horizontal, vertical]
            own = own[np.ix_(colors, backgrounds)]
            images = grid[:, s, z, c, :, h, v]
            draw(look, geometry, object_colors, ring_colors, own, images)

    tasks = list(product(*map(enumerate, (shapes, sizes, cameras, horizontals))))
    threads = len(os.sched_getaffinity(0))
    images_a_task = grid.size // math.prod(grid.shape[-3:]) // len(tasks)
    with (
        ThreadPoolExecutor(threads) as pool,
        progress(f"Rendering {name}", len(tasks) * images_a_task) as advance,
    ):
        for _ in pool.map(render, tasks):
            advance(images_a_task)
