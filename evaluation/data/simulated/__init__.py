"""A simulated MPI3D, which the kit renders itself. Importing this package compiles nothing."""

from pathlib import Path

from evaluation.data.dataset import Citation, Dataset, Factor
from evaluation.data.ground_truth import ImageGrid
from evaluation.data.sets import mpi3d

_LAYOUTS = {"": (6, 6, 40), "_4x4": (4, 4, 40), "_mini": (4, 4, 6)}
"""End of the name -> the numbers of colours, of shapes, and of values of each axis."""

_LOOKS = {look: f"in the look of mpi3d_{look}" for look in ("toy", "realistic", "real")}
_LOOKS["hard"] = "as photographs under changing light, before a cluttered background"

_CITATION = Citation(
    key="disentanglement_submission_kit",
    kind="misc",
    author="The authors of the disentanglement submission kit",
    title="A simulated MPI3D",
    venue="Rendered by evaluation/data/simulated of this kit",
    year=2026,
)


def _open(name: str, root: Path) -> ImageGrid:
    from evaluation.data.simulated.rendering import open_simulated

    return open_simulated(name, root)


def _factors(colors: int, shapes: int, axis: int) -> tuple[Factor, ...]:
    sizes = dict(zip(mpi3d.FACTOR_NAMES, (colors, shapes, 2, 3, 3, axis, axis), strict=True))
    return tuple(Factor.numbered(name, size) for name, size in sizes.items())


DATASETS = tuple(
    Dataset(
        name=f"mpi3d_sim_{look}{layout}",
        open=_open,
        shows=f"a robot arm with an object, rendered here {manner}",
        factors=_factors(*sizes),
        image_shape=(64, 64, 3),
        home="evaluation/data/simulated",
        licence="Apache-2.0",
        citation=_CITATION,
    )
    for layout, sizes in _LAYOUTS.items()
    for look, manner in _LOOKS.items()
)
