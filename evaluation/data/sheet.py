"""A contact sheet: random images, and a row for each factor, with names and values."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation.common.images import as_floats
from evaluation.data.ground_truth import ImageGrid

_COLUMNS = 10
_RANDOM_ROWS = 2
_SIDE = 96
"""The fewest pixels for the longer side of an image, so that the text below it fits."""
_GAP = 6
_LABEL = 16
_MARGIN = 150
_BACKGROUND, _INK, _FAINT = (250, 250, 250), (20, 20, 20), (110, 110, 110)


class _Row(NamedTuple):
    title: str
    detail: str
    pictures: NDArray[np.uint8]
    """At most `_COLUMNS` of (height, width, 3)."""
    labels: Sequence[str]


def contact_sheet(dataset: ImageGrid, frames: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """An RGB picture (height, width, 3) of random images and of each factor.

    The first rows show random images. Then each factor has a row from its first value to its last;
    if there are too many values, evenly spaced ones are shown. The other factors keep the value at
    three fifths of their range.

    Args:
        dataset: What is shown.
        frames: Walks along the same factors in another dataset, uint8 (factors, steps, height,
            width, 3): each gets a row below that of its factor.
    """
    from PIL import Image, ImageDraw, ImageFont

    height, width, _ = dataset.observation_shape
    scale = max(1, -(-_SIDE // max(height, width)))
    cell_width, cell_height = scale * width + _GAP, scale * height + _GAP + _LABEL
    rows = [_random_row(dataset, row) for row in range(_RANDOM_ROWS)]
    for factor in range(dataset.num_factors):
        rows.append(_walk(dataset, factor))
        if frames is not None:
            rows.append(_frames_row(dataset.factor_names[factor], frames[factor]))
    sheet = Image.new(
        "RGB",
        (_MARGIN + _COLUMNS * cell_width, len(rows) * cell_height + _LABEL + 2 * _GAP),
        _BACKGROUND,
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    sizes = " x ".join(map(str, dataset.factor_sizes))
    draw.text((_GAP, _GAP), f"{dataset.name}: {len(dataset):,} images, {sizes}", _INK, font)
    for number, row in enumerate(rows):
        top = _LABEL + 2 * _GAP + number * cell_height
        draw.text((_GAP, top + 2), row.title, _INK, font)
        draw.text((_GAP, top + 2 + _LABEL), row.detail, _FAINT, font)
        for column, picture in enumerate(row.pictures):
            left = _MARGIN + column * cell_width
            large = Image.fromarray(picture).resize(
                (scale * width, scale * height), Image.Resampling.NEAREST
            )
            sheet.paste(large, (left, top))
            text = _fitting(row.labels[column], draw, font, cell_width - _GAP)
            draw.text((left, top + scale * height + 1), text, _FAINT, font)
    return np.asarray(sheet)


def _random_row(dataset: ImageGrid, row: int) -> _Row:
    indices = RandomState(row).randint(len(dataset), size=_COLUMNS)
    labels = [str(index) for index in indices]
    return _Row("random", "image number below", _pictures(dataset, indices), labels)


def _walk(dataset: ImageGrid, factor: int) -> _Row:
    size = dataset.factor_sizes[factor]
    values = np.linspace(0, size - 1, min(size, _COLUMNS)).round().astype(int)
    factors = np.tile(np.array(dataset.factor_sizes) * 3 // 5, (len(values), 1))
    factors[:, factor] = values
    names = dataset.value_names[factor]
    return _Row(
        dataset.factor_names[factor],
        f"{size} value{'' if size == 1 else 's'}",
        _pictures(dataset, dataset.indices_of(factors)),
        [names[value] for value in values],
    )


def _frames_row(factor: str, frames: NDArray[np.uint8]) -> _Row:
    steps = np.linspace(0, len(frames) - 1, min(len(frames), _COLUMNS)).round().astype(int)
    return _Row(factor, "frames beside", frames[steps], [f"step {step}" for step in steps])


def _pictures(dataset: ImageGrid, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Images (n, height, width, 3), 0 to 255. Grey gets three channels; a fourth is dropped."""
    images = as_floats(dataset.images_at(indices)).clip(0, 1)
    pictures = (images * 255).round().astype(np.uint8)
    return np.repeat(pictures, 3, axis=-1) if pictures.shape[-1] < 3 else pictures[..., :3]


def _fitting(text: str, draw: Any, font: Any, width: int) -> str:
    while text and draw.textlength(text, font) > width:
        text = text[:-2] + "…"
    return text
