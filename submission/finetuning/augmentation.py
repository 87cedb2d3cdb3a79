"""Random changes of images that keep the factors: light, colour of the light, camera and noise.

Networks that learn from many random looks work on a look that they have not seen (domain
randomisation, Tobin et al., arXiv 1703.06907). Two things are not changed, because they would
change a factor: images are not mirrored, and hues are not rotated.

Drawing (`draw`) and changing (`change`) are apart. So all processes of a group draw the same
numbers for a whole batch, and each one changes its own images.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from evaluation.common.devices import Placement
from submission.runtime import distributed

_LIGHT_CELLS, _TEXTURE_CELLS, _CLUTTER_CELLS = 3, 12, 8
"""Cells in a row of the random patterns, before they are enlarged to an image."""
_THINGS_A_SIDE = 2, 8
"""Least number of rectangles in a row or a column, and one more than the largest."""
_BRIGHTEST_THING = 0.5
_STREAM = 17
"""Keeps these random numbers apart from those of an epoch's order."""
_BLURRED_SIDE = 24
_DARKEST = 1e-4
"""A power of 0 has no finite gradient, and its logarithm is infinite."""


class Augmenter:
    """Changes the batches of one epoch. A batch gets the same changes for any number of processes.

    Args:
        strength: See `draw`; 0 returns the images as they are.
        seed: Seed of the training.
        epoch: Zero-based number of the epoch.
        placement: The device of the images.
    """

    def __init__(self, strength: float, seed: int, epoch: int, placement: Placement) -> None:
        self._strength = strength
        stream = int(np.random.SeedSequence([seed, epoch, _STREAM]).generate_state(1)[0])
        self._generator = torch.Generator(placement.device).manual_seed(stream)

    def __call__(self, images: Tensor, total: int) -> Tensor:
        """The changed images of this process.

        Args:
            images: This process's share (n, 3, height, width) of a batch, in [0, 1].
            total: Number of images of the batch, of all processes together.
        """
        if self._strength == 0:
            return images
        changes = draw(total, images.shape[1:], self._strength, self._generator)
        return change(images, changes.rows(distributed.share(total)))


class Changes(NamedTuple):
    """The random numbers of a batch of n images, each in the unit in which `change` uses it."""

    places: Tensor
    """Affine maps (n, 2, 3) from the new image's coordinates to the old one's, both in [-1, 1]."""
    light: Tensor
    """Logarithm (n, 1, 3, 3) of the light on 3 x 3 areas."""
    texture: Tensor
    """Logarithm (n, 1, 12, 12) of the brightness of a fine pattern."""
    clutter: Tensor
    """A coloured pattern (n, 3, 8, 8) that is added."""
    things: Tensor
    """Rectangles (n, 3, rows, columns) that cover what is darker than they are."""
    gain: Tensor
    """Logarithm (n, 3, 1, 1) of a factor a channel: exposure and white balance."""
    gamma: Tensor
    """Logarithm (n, 1, 1, 1) of the exponent of the brightness."""
    contrast: Tensor
    """Logarithm (n, 1, 1, 1) of a factor on the distance from the image's mean."""
    offset: Tensor
    """A number (n, 1, 1, 1) that is added."""
    blur: Tensor
    """Weight (n, 1, 1, 1) of the blurred image, from 0 to 1."""
    noise: Tensor
    """The noise of each pixel (n, 3, height, width)."""

    def rows(self, part: slice) -> "Changes":
        """The changes of some of the images."""
        return Changes(*(numbers[part] for numbers in self))


def draw(
    count: int, image_shape: Sequence[int], strength: float, generator: torch.Generator
) -> Changes:
    """Draws the changes of `count` images.

    Args:
        count: Number of images.
        image_shape: Channels, height and width.
        strength: 1 for the usual width of the changes; 0 for none. An image is changed by a part
            of it that is uniform from 0 to 1.
        generator: The random numbers, on the device of the result.
    """

    def uniform(*shape: int) -> Tensor:
        """Uniform from -1 to 1."""
        return (
            torch.rand(count, *shape, generator=generator, device=generator.device).mul_(2).sub_(1)
        )

    # Each image is changed by another part of the strength, so some show fine detail.
    amount = uniform(1, 1, 1).abs_().mul_(strength)

    def pattern(channels: int, cells: int, width: float) -> Tensor:
        """Cells that differ by up to `width`, and less in most images."""
        return uniform(channels, cells, cells) * uniform(1, 1, 1).abs() * (width * amount)

    def rectangles() -> Tensor:
        """Shades of about one colour an image, of up to about `_BRIGHTEST_THING`."""
        rows, columns = torch.randint(
            *_THINGS_A_SIDE, (2,), generator=generator, device=generator.device
        ).tolist()
        brightness = uniform(1, rows, columns).abs() * uniform(1, 1, 1).abs()
        tint = 1 + 0.2 * uniform(3, 1, 1) + 0.2 * uniform(3, rows, columns)
        return brightness * tint * (_BRIGHTEST_THING * amount.clamp(max=1))

    zoom, aspect, turn = uniform(3).mul_(torch.tensor([0.06, 0.03, 0.03]).to(generator.device)).T
    part = amount[:, 0, 0, 0]
    places = torch.zeros(count, 2, 3, device=generator.device)
    places[:, 0, 0] = (1 + part * zoom) * (1 + part * aspect)
    places[:, 1, 1] = (1 + part * zoom) / (1 + part * aspect)
    places[:, 0, 1], places[:, 1, 0] = -part * turn, part * turn
    places[:, :, 2] = 0.06 * part[:, None] * uniform(2)
    return Changes(
        places=places,
        light=pattern(1, _LIGHT_CELLS, 0.6),
        texture=pattern(1, _TEXTURE_CELLS, 0.4),
        clutter=pattern(3, _CLUTTER_CELLS, 0.12),
        things=rectangles(),
        gain=amount * (0.2 * uniform(3, 1, 1) + 0.35 * uniform(1, 1, 1)),
        gamma=0.35 * amount * uniform(1, 1, 1),
        contrast=0.3 * amount * uniform(1, 1, 1),
        offset=0.08 * amount * uniform(1, 1, 1),
        blur=(0.5 * amount).clamp_(max=1) * uniform(1, 1, 1).abs(),
        noise=0.1 * amount * uniform(*image_shape) * uniform(1, 1, 1).abs(),
    )


def change(images: Tensor, changes: Changes) -> Tensor:
    """The images (n, 3, H, W) in [0, 1] with the changes of a scene's light and a camera.

    The order is that of a photograph: light falls on the scene, the lens shifts and blurs it, the
    sensor scales and adds noise.
    """
    size = images.shape[2:]
    grid = functional.affine_grid(changes.places, list(images.shape), align_corners=False)
    seen = functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    things = functional.interpolate(changes.things, size=list(size))
    covered = things.amax(1, keepdim=True) > seen.amax(1, keepdim=True)
    seen = torch.where(covered, things, seen)
    # Each of these steps is one pass over the images, in place: the passes are what takes the time.
    shade = _enlarged(changes.light, size).add_(_enlarged(changes.texture, size)).exp_()
    seen.mul_(shade).add_(_enlarged(changes.clutter, size))
    seen.mul_(changes.gain.exp()).clamp_min_(_DARKEST).pow_(changes.gamma.exp())
    contrast = changes.contrast.exp()
    mean = seen.mean((1, 2, 3), keepdim=True)
    seen.mul_(contrast).add_(mean * (1 - contrast) + changes.offset)
    small = functional.interpolate(seen, size=(_BLURRED_SIDE, _BLURRED_SIDE), mode="bilinear")
    seen.lerp_(_enlarged(small, size), changes.blur)
    return seen.add_(changes.noise).clamp_(0, 1)


def _enlarged(cells: Tensor, size: Sequence[int]) -> Tensor:
    return functional.interpolate(cells, size=list(size), mode="bilinear", align_corners=False)
