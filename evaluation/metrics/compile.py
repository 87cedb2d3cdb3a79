"""Compiles all numba functions during installation, so that the first grading need not do it.

    python -m evaluation.metrics.compile

A second call finds the machine code on disk, says nothing and does nothing.
"""

import sys
from tempfile import TemporaryFile

import numpy as np
from numpy.random import RandomState

from evaluation.common.compiled import not_kept
from evaluation.data.drawing import draw_integers
from evaluation.data.simulated import raycast
from evaluation.data.simulated.looks import LOOKS
from evaluation.data.simulated.rendering import draw
from evaluation.data.storage.gathering import gather, to_floats
from evaluation.metrics.dci import dci
from evaluation.metrics.factor_vae import least_varying_dims
from evaluation.metrics.sap_score import accuracies


def main() -> int:
    if not not_kept():
        return 0
    print("Compiling the metrics and the renderer, once (about half a minute).", flush=True)
    _metrics()
    _images()
    return 0


def _metrics() -> None:
    """Calls the metrics' functions with the types of real gradings; the values do not matter."""
    random_state = RandomState(0)
    factors = draw_integers(random_state, [3, 2], [1, 1], 32)
    codes = random_state.normal(size=(32, 2))
    dci(codes, factors, codes, factors)
    accuracies(codes, factors, codes, factors)
    for kind in (np.float32, np.float64):
        least_varying_dims(codes[np.newaxis].astype(kind), np.ones(2), np.ones(2, bool))
    # Points of codes of few values are grouped.
    few, factors = (draw_integers(random_state, sizes, [1, 1], 200) for sizes in ([2, 2], [9, 2]))
    dci(few, factors, few, factors)


def _images() -> None:
    """Renders four images, writes them to a file and reads them again."""
    colors = np.zeros((2, 3), np.float32)
    grid = np.empty((2, 2, 2, raycast.SIZE, raycast.SIZE, 3), np.uint8)
    images = grid[:, :, 0]  # not contiguous, as in `rendering`
    for look in (*LOOKS, "hard"):
        draw(look, (0, 0, 0, 0, 0), colors, colors, np.zeros((2, 2), np.int64), images)
    with TemporaryFile() as file:
        file.write(images.tobytes())
        file.flush()
        numbers = np.arange(4)
        content = np.empty((4, images[0, 0].size), np.uint8)
        gather(file.fileno(), 0, numbers, content, np.ones(4, bool))
    to_floats(content, numbers, np.empty(content.shape, np.float32))


if __name__ == "__main__":
    sys.exit(main())
