"""Installation compiles everything that a first job needs."""

import os
import subprocess
import sys
from pathlib import Path

from evaluation.common.environment import REPOSITORY

# Renders sets, reads them from their files, grades codes.
JOB = """
import sys
from pathlib import Path
import numpy as np
from numba.core import event
from numpy.random import RandomState
from evaluation.metrics.compile import main, not_kept
from evaluation.data.ground_truth import IndexGrid
from evaluation.data.simulated.looks import LOOKS
from evaluation.data.simulated.rendering import _render
from evaluation.data.storage import blocks
from evaluation.data.storage.stored import open_made
from evaluation.metrics import METRICS

main()
assert not not_kept()
with event.install_recorder("numba:compile") as compiled:
    main()
    blocks._KEPT_BYTES = 0  # as if the set were large
    shown = (0, 1), (0,), (1,), (0, 2), (0, 1, 2), (3, 5), (0, 39)
    for look in (*LOOKS, "hard"):
        def fill(images):
            grid = images.reshape(*map(len, shown), *images.shape[1:])
            _render(look, look, shown, grid)
        images, _ = open_made(look, Path(sys.argv[1]), {}, (48, 64, 64, 3), fill)
        for _ in range(2):
            images[np.arange(3)], images.floats(np.arange(4))
    grid = IndexGrid((2, 3, 4))
    codes = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)
    few = np.random.default_rng(0).integers(2, size=(400, 3)).astype(np.float32)
    for metric in METRICS.values():
        for table in (codes, codes.astype(np.float64)):
            metric.load()(grid, table.__getitem__, RandomState(0))
        metric.load()(IndexGrid((10, 10, 4)), few.__getitem__, RandomState(0))
print([found.data["dispatcher"].py_func.__name__ for _, found in compiled.buffer])
"""


def test_a_first_job_compiles_nothing_more(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", JOB, str(tmp_path / "sets")],
        cwd=REPOSITORY,
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "compiled")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    first, *rest = result.stdout.splitlines()
    assert first.startswith("Compiling"), "nothing is there yet"
    assert rest[-1] == "[]"
    assert "Compiling" not in "".join(rest), "said a second time"
