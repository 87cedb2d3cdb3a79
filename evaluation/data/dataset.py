"""What the kit knows of a dataset before anything of it is on the disk."""

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
        values: The names of its values, in the order of their numbers.
    """

    name: str
    values: tuple[str, ...]

    @classmethod
    def numbered(cls, name: str, size: int) -> "Factor":
        """A factor whose values have no names but their numbers."""
        return cls(name, tuple(map(str, range(size))))

    @classmethod
    def spaced(cls, name: str, first: float, last: float, size: int, unit: str = "") -> "Factor":
        """A factor of numbers at equal distances, ends included."""
        step = (last - first) / (size - 1)
        return cls(name, tuple(f"{first + step * place:.3g}{unit}" for place in range(size)))


class HubFile(NamedTuple):
    """A file in a dataset repository of the Hugging Face Hub.

    Args:
        path: Where it belongs, below the data root.
        repository: Its repository, "owner/name".
        bytes: Its size, or what its images have unpacked; the Hub knows better.
        digest: "md5:…" or "sha256:…", where known.
    """

    path: str
    repository: str
    bytes: int
    digest: str | None = None


class WebFile(NamedTuple):
    """A file that a web server hands out.

    Args:
        path: Where it belongs, below the data root.
        url: Where it is.
        bytes: Its size, to the nearest megabyte at least.
        digest: "md5:…" or "sha256:…", where known.
    """

    path: str
    url: str
    bytes: int
    digest: str | None = None


class FileByHand(NamedTuple):
    """A file that no program can fetch.

    Args:
        path: Where it belongs, below the data root.
        page: Where a person gets it.
        reason: Why no program can, as a clause.
    """

    path: str
    page: str
    reason: str


RemoteFile = HubFile | WebFile | FileByHand

Open = Callable[[str, Path], ImageGrid]
"""Given a dataset's name and the folder of one folder a dataset, opens it or raises `KitError`."""


class Citation(NamedTuple):
    """The facts of a reference, as BibTeX has them."""

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
        name: Its name; disentanglement_lib's, where that has the set.
        open: Opens it.
        shows: What the images show, in a few words.
        factors: Those of the set as it is published.
        image_shape: Height, width and channels.
        home: Its page.
        licence: Its licence, as far as the source says.
        citation: What to cite.
        files: What it is read from. A set that the kit renders has none.
        hidden: Factors that no metric sees, drawn anew with each observation.
        convert: Writes it in the format that disentanglement_lib reads, where that is another
            than the one that is published; given name and root, gives the file.
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
        """Whether the kit makes the images, where they are not there."""
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
