"""MPI3D as published: one .npz for each domain; an image's place in the array gives its factors.

Gondal et al., "On the Transfer of Inductive Bias from Simulation to the Real World: a New
Disentanglement Dataset", NeurIPS 2019, arXiv 1906.03292.
"""

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.common.files import locked
from evaluation.common.npy import check_headers, header_of
from evaluation.common.terminal import console, progress
from evaluation.data.dataset import Citation, Dataset, Factor, FileByHand, HubFile
from evaluation.data.ground_truth import ImageGrid
from evaluation.data.sets.npz import check_array, chunk_of, inspect, unpack
from evaluation.data.sets.refusals import Origin
from evaluation.data.storage.blocks import ArrayInFile, StoredImages
from evaluation.data.storage.records import place_to_write
from evaluation.data.storage.stored import fresh_file, open_given, open_made

_REST = (
    Factor("object_size", ("small", "large")),
    Factor("camera_height", ("top", "center", "bottom")),
    Factor("background_color", ("purple", "sea green", "salmon")),
    Factor.numbered("horizontal_axis", 40),
    Factor.numbered("vertical_axis", 40),
)
_SIX = (
    Factor("object_color", ("white", "green", "red", "blue", "brown", "olive")),
    Factor("object_shape", ("cone", "cube", "cylinder", "hexagonal", "pyramid", "sphere")),
    *_REST,
)
_FOUR = (
    Factor("object_color", ("green", "red", "blue", "brown")),
    Factor("object_shape", ("cone", "cube", "hexagonal", "sphere")),
    *_REST,
)
_COMPLEX = (
    Factor("object_color", ("yellow", "green", "olive", "red")),
    Factor("object_shape", ("coffee cup", "tennis ball", "croissant", "beer cup")),
    *_REST,
)
FACTOR_NAMES = tuple(factor.name for factor in _SIX)
LAYOUTS: dict[int, tuple[int, ...]] = {
    1_036_800: (6, 6, 2, 3, 3, 40, 40),
    460_800: (4, 4, 2, 3, 3, 40, 40),
}
"""Number of images -> sizes of the factors. Files of the same domain exist in both layouts."""

_IMAGE = (64, 64, 3)
_KEY = "images"
_LIBRARY_SIZES = {"mpi3d_toy": 4, "mpi3d_realistic": 4, "mpi3d_real": 6}
"""The number of colours, and of shapes, that disentanglement_lib 1.5 assumes."""


def open_published(name: str, root: Path) -> ImageGrid:
    """Opens `<root>/<name>/<name>.npz`, or `<name>.npy` if there is no .npz.

    Images without compression are read from the .npz itself; compressed ones are unpacked once, see
    `stored`. In both cases the first opening reads the content once and compares it with the
    checksum in the .npz. Opening needs little memory.

    Raises:
        KitError: the file is missing, damaged, not MPI3D, or cannot be unpacked.
    """
    origin = Origin(name, "uint8 (N, 64, 64, 3)")
    npz = root / name / f"{name}.npz"
    npy = npz.with_suffix(".npy")
    if npz.is_file():
        member = inspect(npz, _KEY, origin, _is_mpi3d)
        shape = (member.shape[0], *_IMAGE)
        sizes = layout_of(shape[0], npz, origin)
        chunks = member.chunks(chunk_of(shape, "uint8"))
        if member.place is not None:
            array = ArrayInFile(member.place, shape, "uint8")
            images, fingerprint = open_given(name, root, npz, array, chunks)
        else:

            def fill(target: NDArray) -> None:
                unpack(name, member.chunks(chunk_of(shape, "uint8")), target)

            images, fingerprint = open_made(name, root, member.made_from, shape, fill)
    elif npy.is_file():
        array = _inspect_npy(npy, origin)
        sizes = layout_of(array.shape[0], npy, origin)
        images, fingerprint = open_given(name, root, npy, array)
    else:
        raise origin.missing(root, [f"{name}/{name}.npz"])
    colors, shapes = sizes[:2]
    console.print(f"{name}: {len(images):,} images, {colors} colours x {shapes} shapes")
    return ImageGrid(
        name,
        images,
        sizes,
        FACTOR_NAMES,
        fingerprint,
        value_names=_value_names(name, sizes),
        notes=_notes(name, sizes, images.path),
    )


def layout_of(count: int, path: Path, origin: Origin) -> tuple[int, ...]:
    """Sizes of the factors of a set of `count` images.

    Raises:
        KitError: no known layout has that many images.
    """
    if count not in LAYOUTS:
        known = " and ".join(
            f"{length:,} ({sizes[0]} colours x {sizes[1]} shapes)"
            for length, sizes in LAYOUTS.items()
        )
        raise origin.layout(path, f"holds {count:,} images; the known layouts have {known}")
    return LAYOUTS[count]


def write_npz(name: str, root: Path, images: StoredImages) -> Path:
    """Writes images in the format of MPI3D, without compression, so they need no unpacking.

    Raises:
        KitError: `DATA-READ-ONLY`, no folder is writable; `DATA-DISK-FULL`.
    """
    images.check()  # a repair needs the lock that is taken below, so repair before
    path = place_to_write(name, root) / f"{name}.npz"
    with (
        locked(path.parent, name),
        fresh_file(path, images.nbytes) as temporary,
        zipfile.ZipFile(temporary, "w") as archive,
        archive.open(f"{_KEY}.npy", "w", force_zip64=True) as stream,
        progress(f"Writing {path.name}", len(images)) as advance,
    ):
        stream.write(header_of(images.shape, images.dtype))
        for chunk in images.chunks():
            stream.write(chunk.data)
            advance(len(chunk))
    return path


def _is_mpi3d(shape: tuple[int, ...], dtype: np.dtype) -> bool:
    return dtype == np.uint8 and shape[1:] == _IMAGE


def _inspect_npy(path: Path, origin: Origin) -> ArrayInFile:
    """The place of the images in an .npy file, after a check of its shape and type."""
    with origin.reading(path, ValueError, EOFError):
        check_headers(path)
        images = np.load(path, mmap_mode="r")
    header = (images.shape, not images.flags.c_contiguous, images.dtype)
    check_array(path, _KEY, header, origin, _is_mpi3d)
    return ArrayInFile(images.offset, (len(images), *_IMAGE), "uint8")


def _value_names(name: str, sizes: tuple[int, ...]) -> list[tuple[str, ...]]:
    for factors in (_SIX, _COMPLEX if name == "mpi3d_real_complex" else _FOUR):
        if tuple(len(factor.values) for factor in factors) == sizes:
            return [factor.values for factor in factors]
    return [tuple(map(str, range(size))) for size in sizes]


def _notes(name: str, sizes: tuple[int, ...], path: Path) -> list[str]:
    found = f"{sizes[0]} colours x {sizes[1]} shapes, in {path}"
    if name not in _LIBRARY_SIZES:
        return [found, "disentanglement_lib 1.5 does not know this set"]
    assumed = _LIBRARY_SIZES[name]
    if path.suffix == ".npy" and not path.with_suffix(".npz").is_file():
        return [found, "disentanglement_lib 1.5 reads only the .npz, and there is none"]
    if sizes[0] > assumed:
        return [
            found,
            f"disentanglement_lib 1.5 expects {assumed} colours x {assumed} shapes: without an"
            f" error, it reads the first {assumed**2 * 28_800:,} images with wrong factors",
        ]
    if sizes[0] < assumed:
        return [
            found,
            f"disentanglement_lib 1.5 expects {assumed} colours x {assumed} shapes: it fails with"
            " an index out of bounds, or gives images with wrong factors",
        ]
    return [found]


_HOME = "https://github.com/rr-learning/disentanglement_dataset"
_CITATION = Citation(
    key="gondal2019transfer",
    kind="inproceedings",
    author="Gondal, Muhammad Waleed and Wuthrich, Manuel and Miladinovic, Djordje and Locatello,"
    " Francesco and Breidt, Martin and Volchkov, Valentin and Akpo, Joel and Bachem, Olivier and"
    " Schölkopf, Bernhard and Bauer, Stefan",
    title="On the Transfer of Inductive Bias from Simulation to the Real World: a New"
    " Disentanglement Dataset",
    venue="Advances in Neural Information Processing Systems",
    year=2019,
)
_NPZ_BYTES = 12_740_198_400  # the images alone, without the few hundred bytes of the header


def _published(domain: str, shows: str) -> Dataset:
    name = f"mpi3d_{domain}"
    return Dataset(
        name=name,
        open=open_published,
        shows=shows,
        factors=_SIX,
        image_shape=_IMAGE,
        home=_HOME,
        licence="CC BY 4.0",
        citation=_CITATION,
        files=(HubFile(f"{name}/{name}.npz", "waleedgondal/mpi3d", _NPZ_BYTES),),
    )


DATASETS = (
    _published("toy", "a robot arm with an object, rendered simply"),
    _published("realistic", "a robot arm with an object, rendered realistically"),
    _published("real", "a robot arm with an object, photographed"),
    Dataset(
        name="mpi3d_real_complex",
        open=open_published,
        shows="a robot arm with an everyday object, photographed",
        factors=_COMPLEX,
        image_shape=_IMAGE,
        home=_HOME,
        licence="CC BY 4.0",
        citation=_CITATION,
        files=(
            FileByHand(
                "mpi3d_real_complex/mpi3d_real_complex.npz",
                "https://drive.google.com/file/d/1Tp8eTdHxgUMtsZv5uAoYAbJR1BOa_OQm/view",
                "Google Drive asks a person to confirm",
            ),
        ),
    ),
)
