"""An entry of the registry: the facts about a dataset that are known before it is on the disk."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from evaluation.data.ground_truth import ImageGrid


class Factor(NamedTuple):
    """A factor of variation.

    Args:
        name: Its name.
        values: The names of its values; the position of a name is the value's number.
    """

    name: str
    values: tuple[str, ...]

    @classmethod
    def numbered(cls, name: str, size: int) -> "Factor":
        """A factor whose values are named by their numbers, from 0."""
        return cls(name, tuple(map(str, range(size))))

    @classmethod
    def spaced(cls, name: str, first: float, last: float, size: int, unit: str = "") -> "Factor":
        """A factor with `size` evenly spaced values from `first` to `last`, both included."""
        step = (last - first) / (size - 1)
        return cls(name, tuple(f"{first + step * place:.3g}{unit}" for place in range(size)))


class HubFile(NamedTuple):
    """A file in a dataset repository of the Hugging Face Hub.

    Args:
        path: Its path, relative to the data root.
        repository: Its repository, "owner/name".
        bytes: Its size, or the unpacked size of its images. Used if the Hub does not tell the size.
        digest: "md5:…" or "sha256:…", if known.
    """

    path: str
    repository: str
    bytes: int
    digest: str | None = None


class WebFile(NamedTuple):
    """A file on a web server.

    Args:
        path: Its path, relative to the data root.
        url: Its address.
        bytes: Its size, exact to a megabyte or better.
        digest: "md5:…" or "sha256:…", if known.
    """

    path: str
    url: str
    bytes: int
    digest: str | None = None


class FileByHand(NamedTuple):
    """A file that only a person can fetch.

    Args:
        path: Its path, relative to the data root.
        page: The address where a person gets it.
        reason: Why no program can fetch it, as a clause.
    """

    path: str
    page: str
    reason: str


RemoteFile = HubFile | WebFile | FileByHand

Open = Callable[[str, Path], ImageGrid]
"""Takes a dataset's name and the data root; opens the dataset or raises `KitError`."""


class Citation(NamedTuple):
    """The fields of a BibTeX entry."""

    key: str
    kind: str
    author: str
    title: str
    venue: str
    year: int

    def bibtex(self) -> str:
        place = {"inproceedings": "booktitle", "article": "journal", "misc": "howpublished"}
        return (
            f"@{self.kind}{{{self.key},\n"
            f"  author = {{{self.author}}},\n"
            f"  title = {{{self.title}}},\n"
            f"  {place[self.kind]} = {{{self.venue}}},\n"
            f"  year = {{{self.year}}},\n"
            f"}}"
        )


@dataclass(frozen=True)
class Dataset:
    """An entry of the registry.

    Args:
        name: Its name. If disentanglement_lib has the dataset, the same name as there.
        open: Opens it.
        shows: What the images show, in a few words.
        factors: The factors of the published dataset.
        image_shape: Height, width and channels.
        home: The address of its page.
        licence: Its licence, if the source names one.
        citation: The reference to cite.
        files: The files that it is read from. A dataset that the kit renders has none.
        hidden: Factors that metrics do not see. Their values are drawn for each observation.
        convert: Takes a name and the data root, writes the file that disentanglement_lib reads, and
            returns its path. None if disentanglement_lib reads the published file, or none.
    """

    name: str
    open: Open
    shows: str
    factors: tuple[Factor, ...]
    image_shape: tuple[int, int, int]
    home: str
    licence: str
    citation: Citation
    files: tuple[RemoteFile, ...] = ()
    hidden: tuple[Factor, ...] = ()
    convert: Callable[[str, Path], Path] | None = None

    @property
    def rendered(self) -> bool:
        """Whether the kit renders the images itself."""
        return not self.files

    @property
    def num_images(self) -> int:
        return math.prod(len(factor.values) for factor in self.factors + self.hidden)


def names_of(factors: Sequence[Factor]) -> list[str]:
    return [factor.name for factor in factors]


def values_of(factors: Sequence[Factor]) -> list[tuple[str, ...]]:
    return [factor.values for factor in factors]


def sizes_of(factors: Sequence[Factor]) -> list[int]:
    return [len(factor.values) for factor in factors]
