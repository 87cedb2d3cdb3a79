"""Exports a NumPy function of your own: python -m submission.examples.own_function."""

import numpy as np

from evaluation import environment
from submission.export import export_function


def colours(images: np.ndarray) -> np.ndarray:  # (n, 3, 64, 64) in [0, 1]
    return images.reshape(len(images), 3, -1)[:, :, ::256].reshape(len(images), -1)  # (n, dims)


export_function(colours, environment.output_path() / "own" / "representation" / "python_model.dill")
