"""A contact sheet: each factor of a dataset walked by itself."""

import numpy as np
from numpy.typing import NDArray

from evaluation.data.ground_truth import ImageGrid


def contact_sheet(dataset: ImageGrid, columns: int) -> NDArray[np.uint8]:
    """Rows of images (num_factors * 64, columns * 64, 3), one a factor, in the dataset's order.

    A row walks its factor from the first value to the last, evenly where there are more than
    `columns` and leaving the rest of the row black where there are fewer; the other factors keep
    the value at three fifths of their range, where the object is large and the arm not in line.
    """
    height, width, channels = dataset.observation_shape
    sheet = np.zeros((dataset.num_factors, height, columns, width, channels), np.uint8)
    for row, size in enumerate(dataset.factor_sizes):
        shown = min(size, columns)
        factors = np.tile(np.array(dataset.factor_sizes) * 3 // 5, (shown, 1))
        factors[:, row] = np.linspace(0, size - 1, shown).round()
        images = dataset.images_at(dataset.indices_of(factors))
        sheet[row, :, :shown] = images.transpose(1, 0, 2, 3)
    return sheet.reshape(dataset.num_factors * height, columns * width, channels)
