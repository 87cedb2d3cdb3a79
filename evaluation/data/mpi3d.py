"""MPI3D as published: one .npz a domain, the factors implied by an image's place in the array.

Gondal et al., "On the Transfer of Inductive Bias from Simulation to the Real World: a New
Disentanglement Dataset", NeurIPS 2019, arXiv 1906.03292.
"""

import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evaluation.common.errors import KitError
from evaluation.common.files import locked
from evaluation.common.images import IMAGE_SHAPE
from evaluation.common.npy import read_header
from evaluation.common.terminal import console, progress
from evaluation.data.blocks import CHUNK, IMAGE_BYTES, StoredImages
from evaluation.data.ground_truth import ImageGrid
from evaluation.data.records import place_to_write
from evaluation.data.stored import fresh_file, open_given, open_made

FACTOR_NAMES = (
    "object_color",
    "object_shape",
    "object_size",
    "camera_height",
    "background_color",
    "horizontal_axis",
    "vertical_axis",
)
LAYOUTS = {
    1_036_800: (6, 6, 2, 3, 3, 40, 40),
    460_800: (4, 4, 2, 3, 3, 40, 40),
}
"""Sizes of the factors by number of images. The same domain is in circulation in both."""

_SOURCE = "https://huggingface.co/datasets/waleedgondal/mpi3d"
_MEMBER = "images.npy"


class _Member(NamedTuple):
    """The array inside an .npz."""

    images: int
    """Their number, each of `IMAGE_SHAPE`."""
    crc32: int
    place: int | None
    """Where the images begin in the file, if they are stored as they are."""


def open_published(name: str, root: Path) -> ImageGrid:
    """Opens `<root>/<name>/<name>.npz`, or the .npy beside it where there is no .npz.

    Images stored without compression are read where they are; compressed ones are unpacked once,
    see `stored`. Either way the content is read once, its checksum compared with the .npz's own,
    and opening takes no memory to speak of.

    Raises:
        KitError: the file is missing, damaged, not MPI3D, or cannot be unpacked.
    """
    npz = root / name / f"{name}.npz"
    npy = npz.with_suffix(".npy")
    if npz.is_file():
        member = _inspect(npz)
        sizes = layout_of(member.images, npz)
        if member.place is not None:
            images, fingerprint = open_given(
                name, root, npz, member.place, member.images, _chunks_in(npz)
            )
        else:
            made_from = {"npz_bytes": npz.stat().st_size, "crc32": member.crc32}

            def fill(target: NDArray[np.uint8]) -> None:
                _unpack(name, npz, target)

            images, fingerprint = open_made(name, root, made_from, member.images, fill)
    elif npy.is_file():
        offset, count = _inspect_npy(npy)
        sizes = layout_of(count, npy)
        images, fingerprint = open_given(name, root, npy, offset, count)
    else:
        raise KitError(
            "DATA-MISSING",
            f"There is no {npz}",
            f"Download {npz.name} from {_SOURCE} and put it there,"
            f" or point --data-root or DISENTANGLEMENT_LIB_DATA at the folder that holds {name}/",
        )
    colors, shapes = sizes[:2]
    console.print(f"{name}: {len(images):,} images, {colors} colours x {shapes} shapes")
    return ImageGrid(name, images, sizes, FACTOR_NAMES, fingerprint)


def layout_of(count: int, path: Path) -> tuple[int, ...]:
    """Sizes of the factors of a set of `count` images.

    Raises:
        KitError: no known layout has that many images.
    """
    if count not in LAYOUTS:
        known = " and ".join(
            f"{length:,} ({sizes[0]} colours x {sizes[1]} shapes)"
            for length, sizes in LAYOUTS.items()
        )
        raise KitError(
            "DATA-LAYOUT",
            f"{path} holds {count:,} images; the layouts known have {known}",
            f"Download the file again from {_SOURCE}",
        )
    return LAYOUTS[count]


def write_npz(name: str, root: Path, images: StoredImages) -> Path:
    """Writes images in the format of MPI3D, uncompressed so as to be read where they are.

    Raises:
        KitError: nothing can be written, or the disk has no room.
    """
    images.check()  # what is damaged is made again now, under the lock that is taken next
    path = place_to_write(name, root) / f"{name}.npz"
    with (
        locked(path.parent, name),
        fresh_file(path, images.nbytes) as temporary,
        zipfile.ZipFile(temporary, "w") as archive,
        archive.open(_MEMBER, "w", force_zip64=True) as stream,
        progress(f"Writing {path.name}", len(images)) as advance,
    ):
        header = {"descr": "|u1", "fortran_order": False, "shape": images.shape}
        np.lib.format.write_array_header_1_0(stream, header)
        for chunk in images.chunks():
            stream.write(chunk.data)
            advance(len(chunk))
    return path


def _damaged(path: Path, why: object) -> KitError:
    return KitError(
        "DATA-DAMAGED",
        f"{path} is damaged or incomplete ({why})",
        f"Download it again from {_SOURCE}",
    )


def _check_array(path: Path, shape: tuple[int, ...], dtype: np.dtype, fortran: bool) -> None:
    if dtype != np.uint8 or shape[1:] != IMAGE_SHAPE or fortran:
        order = " in column order" if fortran else ""
        raise KitError(
            "DATA-SHAPE",
            f"{path} holds {dtype} {shape}{order}; MPI3D is uint8 (N, 64, 64, 3)",
            f"Download the file from {_SOURCE}",
        )


@contextmanager
def _member_of(path: Path) -> Iterator[tuple[zipfile.ZipInfo, IO[bytes], int]]:
    """Yields the array's entry, and its stream past the array's header, checked."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if _MEMBER not in names:
                raise KitError(
                    "DATA-KEY",
                    f"{path} holds {[name.removesuffix('.npy') for name in names]}, not 'images'",
                    f"Download the file from {_SOURCE}",
                )
            entry = archive.getinfo(_MEMBER)
            with archive.open(entry) as stream:
                shape, fortran, dtype = read_header(stream)
                _check_array(path, shape, dtype, fortran)
                if entry.file_size - stream.tell() != math.prod(shape):
                    raise _damaged(path, f"an array of {shape} does not fill its entry")
                yield entry, stream, shape[0]
    except OSError as error:
        raise KitError(
            "DATA-UNREADABLE", f"{path} cannot be read ({error})", "Check its permissions and disk"
        ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError) as error:
        raise _damaged(path, error) from error


def _inspect(path: Path) -> _Member:
    with _member_of(path) as (entry, stream, count):
        place = None
        if entry.compress_type == zipfile.ZIP_STORED:
            with path.open("rb") as raw:
                # The lengths of name and extra field stand at 26 and 28 of a local header of 30.
                raw.seek(entry.header_offset + 26)
                name_bytes, extra_bytes = struct.unpack("<HH", raw.read(4))
            place = entry.header_offset + 30 + name_bytes + extra_bytes + stream.tell()
        return _Member(count, entry.CRC, place)


def _chunks_in(path: Path) -> Iterator[NDArray[np.uint8]]:
    """The images in order; the archive's checksum is compared with the last."""
    with _member_of(path) as (_, stream, count):
        for start in range(0, count, CHUNK):
            images = min(CHUNK, count - start)
            content = stream.read(images * IMAGE_BYTES)
            yield np.frombuffer(content, np.uint8).reshape(images, *IMAGE_SHAPE)
        stream.read(1)


def _unpack(name: str, npz: Path, target: NDArray[np.uint8]) -> None:
    start = 0
    with progress(f"Unpacking {name}", len(target)) as advance:
        for chunk in _chunks_in(npz):
            target[start : start + len(chunk)] = chunk
            start += len(chunk)
            advance(len(chunk))


def _inspect_npy(path: Path) -> tuple[int, int]:
    """Where the images begin in the file, and their number."""
    try:
        images = np.load(path, mmap_mode="r")
    except (ValueError, EOFError, OSError) as error:
        raise _damaged(path, error) from error
    _check_array(path, images.shape, images.dtype, not images.flags.c_contiguous)
    return images.offset, len(images)
