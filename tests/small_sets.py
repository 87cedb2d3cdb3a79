"""Small files in the real formats of the field's datasets, and disentanglement_lib reading them.

The factors of each set are cut to a few values, in the kit and in disentanglement_lib alike.
"""

import gzip
import importlib
import logging
import os
import struct
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import gin
import h5py
import numpy as np
import PIL.Image
import pytest
import scipy.io
from numpy.typing import NDArray

from evaluation.data.dataset import Factor
from evaluation.data.sets import cars3d, dsprites, nvidia, shapes3d, smallnorb

SPRITES = (3, 2, 4, 3, 2)
ROOM = (2, 3, 2, 2, 2, 3)
CARS = (4, 24, 3)
TOYS = (2, 4, 2, 3, 2)
KITCHEN = (3, 2, 2)
_FORM = "look-at-object-room_floor-hueXwall-hueXobj-hueXobj-sizeXobj-shapeXview-azi.npz"


def cut(factors: Sequence[Factor], sizes: Sequence[int]) -> tuple[Factor, ...]:
    return tuple(
        Factor(factor.name, factor.values[:size])
        for factor, size in zip(factors, sizes, strict=True)
    )


def cut_all(patch: pytest.MonkeyPatch) -> None:
    """Cuts the factors of every set to those of the files that are written here."""
    patch.setattr(dsprites, "FACTORS", cut(dsprites.FACTORS, SPRITES))
    patch.setattr(shapes3d, "FACTORS", cut(shapes3d.FACTORS, ROOM))
    patch.setattr(cars3d, "FACTORS", cut(cars3d.FACTORS, CARS))
    patch.setattr(smallnorb, "FACTORS", cut(smallnorb.FACTORS, TOYS))
    kitchen = cut(nvidia.FACTORS["isaac3d"][:3], KITCHEN)
    patch.setitem(nvidia.FACTORS, "isaac3d", kitchen)


def random_bytes(*shape: int) -> NDArray[np.uint8]:
    return np.random.RandomState(0).randint(256, size=shape).astype(np.uint8)


def write_dsprites(root: Path, compressed: bool = True, **changes: Any) -> Path:
    path = root / "dsprites/dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        "imgs": random_bytes(np.prod(SPRITES), 64, 64) // 128,
        "metadata": np.array({"latents_sizes": np.array([1, *SPRITES])}, dtype=object),
    }
    (np.savez_compressed if compressed else np.savez)(path, **{**arrays, **changes})
    return path


def write_scream(root: Path, mode: str = "RGB", size: tuple[int, int] = (700, 900)) -> Path:
    path = root / "scream/scream.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = random_bytes(size[1] // 10, size[0] // 10, 3)
    PIL.Image.fromarray(noise).resize(size).convert(mode).save(path)
    return path


def write_shapes3d(root: Path, **changes: Any) -> Path:
    path = root / "3dshapes/3dshapes.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    count = int(np.prod(ROOM))
    arrays = {
        "images": random_bytes(count, 64, 64, 3),
        "labels": np.stack(np.unravel_index(np.arange(count), ROOM), axis=1) / 2.0,
        **changes,
    }
    with h5py.File(path, "w") as file:
        for key, content in arrays.items():
            if content is not None:
                chunks = (max(1, len(content) // 5), *(-(-side // 2) for side in content.shape[1:]))
                file.create_dataset(key, data=content, chunks=chunks, compression="gzip")
    return path


def mesh(seed: int) -> NDArray[np.uint8]:
    smooth = np.random.RandomState(seed).randint(256, size=(16, 16, 3, *CARS[1::-1]))
    return smooth.repeat(8, axis=0).repeat(8, axis=1).astype(np.uint8)


def write_cars3d(root: Path, archive: bool = True, **changes: Any) -> Path:
    """The archive, or the folder of the files that it holds."""
    folder = root / "cars"
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"car_{seed:03}_mesh.mat" for seed in range(CARS[2])]
    for seed, name in enumerate(names):
        content = {"im": mesh(seed), "mask": np.zeros((2, 2)), **changes}
        content = {key: value for key, value in content.items() if value is not None}
        scipy.io.savemat(folder / name, content, do_compression=seed % 2 == 0)
    if not archive:
        return folder
    path = folder / "nips2015-analogy-data.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name in reversed(names):  # as an archive may have them in any order
            tar.add(folder / name, f"data/cars/{name}")
            (folder / name).unlink()
    return path


def matrix(array: NDArray) -> bytes:
    """As the makers of SmallNORB store it."""
    kind = {"uint8": 0x1E3D4C55, "int32": 0x1E3D4C54, "float32": 0x1E3D4C51}[array.dtype.name]
    sizes = [*array.shape, *[1] * (3 - array.ndim)]
    return struct.pack(f"<{2 + len(sizes)}i", kind, array.ndim, *sizes) + array.tobytes()


def norb_files() -> dict[tuple[str, str], NDArray]:
    """The six arrays, by part and kind."""
    numbers = np.random.RandomState(0).permutation(int(np.prod(TOYS)))
    values = np.stack(np.unravel_index(numbers, TOYS), axis=1).astype(np.int32)
    values[:, 3] *= 2
    half = len(numbers) // 2
    files = {}
    for part, rows in zip(smallnorb._PARTS, (slice(half), slice(half, None)), strict=True):
        dat = np.random.RandomState(half).choice([0, 9, 250, 255], size=(half, 2, 12, 12))
        files[part, "dat"] = dat.repeat(8, axis=2).repeat(8, axis=3).astype(np.uint8)
        files[part, "cat"] = np.ascontiguousarray(values[rows, 0])
        files[part, "info"] = np.ascontiguousarray(values[rows, 1:])
    return files


def write_smallnorb(
    root: Path, zipped: bool = False, changes: dict[tuple[str, str], NDArray] | None = None
) -> Path:
    folder = root / "small_norb"
    folder.mkdir(parents=True, exist_ok=True)
    for (part, kind), array in {**norb_files(), **(changes or {})}.items():
        path = folder / f"smallnorb-{part}-{kind}.mat"
        if zipped:
            path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(matrix(array), 1))
        else:
            path.write_bytes(matrix(array))
    return folder


def write_isaac3d(root: Path, labels: NDArray | None = None, side: int = 128) -> Path:
    """Noise of 128x128, in the order of the labels where there are any."""
    folder = root / "isaac3d"
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(random_bytes(int(np.prod(KITCHEN)), side, side, 3)):
        PIL.Image.fromarray(image).save(folder / f"images/{number:06}.png")
    if labels is not None:
        np.save(folder / "labels.npy", labels)
    return folder


def library(name: str, root: Path, patch: pytest.MonkeyPatch) -> ModuleType:
    """A module of disentanglement_lib's datasets, which looks for its files below `root`.

    It was written for older packages: the names that these had are put back for it.
    """
    sys.modules["gin.tf"] = gin
    patch.setenv("DISENTANGLEMENT_LIB_DATA", str(root))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.disable(logging.WARNING)
    module = importlib.reload(
        importlib.import_module(f"disentanglement_lib.data.ground_truth.{name}")
    )
    logging.disable(logging.NOTSET)
    thumbnail = PIL.Image.Image.thumbnail
    patch.setattr(PIL.Image, "ANTIALIAS", PIL.Image.Resampling.LANCZOS, raising=False)
    patch.setattr(
        PIL.Image.Image,
        "thumbnail",
        lambda picture, size, *others: thumbnail(picture, size[:2], *others),
    )
    if name == "norb":  # `int` of an array of one number is no more
        patch.setattr(module, "int", lambda value: np.asarray(value).item(), raising=False)
        patch.setattr(module.tf, "gfile", module.tf.io.gfile, raising=False)
    return module


def their_sprites(name: str, root: Path, patch: pytest.MonkeyPatch) -> Any:
    module = library("dsprites", root, patch)
    kinds = {
        "dsprites_full": (module.DSprites, [1, 2, 3, 4, 5]),
        "dsprites_noshape": (module.DSprites, [2, 3, 4, 5]),
        "color_dsprites": (module.ColorDSprites, [1, 2, 3, 4, 5]),
        "noisy_dsprites": (module.NoisyDSprites, [1, 2, 3, 4, 5]),
        "scream_dsprites": (module.ScreamDSprites, [1, 2, 3, 4, 5]),
    }
    kind, latents = kinds[name]
    data = kind(latents)
    data.full_factor_sizes = [1, *SPRITES]
    return data


def their_room(_: str, root: Path, patch: pytest.MonkeyPatch) -> Any:
    module = library("shapes3d", root, patch)
    data = module.Shapes3D()
    data.factor_sizes = list(ROOM)
    data.state_space = module.util.SplitDiscreteStateSpace(list(ROOM), list(range(6)))
    data.factor_bases = np.prod(ROOM) / np.cumprod(ROOM)
    return data


def their_cars(_: str, root: Path, patch: pytest.MonkeyPatch) -> Any:
    module = library("cars3d", root, patch)
    directory = module.gfile.ListDirectory
    patch.setattr(module.gfile, "ListDirectory", lambda path: sorted(directory(path)))
    data = module.Cars3D()
    # Beyond the few cars here it has empty images, and the index of 183 holds for all.
    data.state_space = module.util.SplitDiscreteStateSpace(list(CARS), [0, 1, 2])
    data.factor_sizes = list(CARS)
    return data


def their_toys(_: str, root: Path, patch: pytest.MonkeyPatch) -> Any:
    module = library("norb", root, patch)
    chunks = (module.SMALLNORB_TEMPLATE, module.SMALLNORB_CHUNKS)
    data = module.SmallNORB.__new__(module.SmallNORB)
    data.images, features = module._load_small_norb_chunks(*chunks)
    data.factor_sizes = list(TOYS)
    data.latent_factor_indices = [0, 2, 3, 4]
    data.index = module.util.StateSpaceAtomIndex(list(TOYS), features)
    data.state_space = module.util.SplitDiscreteStateSpace(list(TOYS), [0, 2, 3, 4])
    return data
