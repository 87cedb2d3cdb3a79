"""Prints the facts about datasets: a table of all, or a page about one."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import JustifyMethod
from rich.table import Table

from evaluation.common.errors import KitError
from evaluation.common.files import readable_size
from evaluation.common.images import shape_in_words
from evaluation.common.terminal import console
from evaluation.data import DATASETS, find_dataset
from evaluation.data.dataset import Dataset, FileByHand, HubFile, RemoteFile
from evaluation.data.download.fetching import is_there
from evaluation.data.download.first_copy import first_copy

_SHOWN_VALUES = 6
_COLUMNS: dict[str, JustifyMethod] = {
    "Name": "left",
    "Images": "right",
    "Format": "left",
    "Factors": "left",
    "Files": "right",
    "Here": "left",
}


def print_table(root: Path) -> None:
    """Prints a table with one row for each dataset.

    Args:
        root: The data root.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column, side in _COLUMNS.items():
        table.add_column(column, justify=side, no_wrap=True)
    for dataset in DATASETS.values():
        table.add_row(
            dataset.name,
            f"{dataset.num_images:,}",
            shape_in_words(dataset.image_shape),
            shape_in_words([len(factor.values) for factor in dataset.factors]),
            _sizes(dataset),
            "yes" if _is_here(dataset, root) else "",
        )
    console.print(table)


def print_page(name: str, root: Path) -> None:
    """Prints all facts about a dataset and about its files on the disk.

    Raises:
        KitError: there is no such dataset, or its files are damaged or wrong.
    """
    dataset = find_dataset(name)
    console.print("\n".join(_page(dataset, root)), markup=False)
    if dataset.rendered and not _is_here(dataset, root):
        console.print(f"not rendered yet: python -m evaluation.data render {name}", markup=False)
        return
    try:
        opened = dataset.open(name, root)
    except KitError as refusal:
        if refusal.code != "DATA-MISSING":
            raise
        console.print(f"{refusal.problem}. {refusal.remedy}.", markup=False)
        return
    found = opened.image_format
    console.print(
        f"found: {len(opened):,} images of {shape_in_words(found.shape)}, {found.dtype}, with the "
        f"SHA-256 {opened.fingerprint}",
        markup=False,
    )
    for note in opened.notes:
        console.print(f"  {note}", markup=False)


def _page(dataset: Dataset, root: Path) -> Iterator[str]:
    yield f"{dataset.name}: {dataset.shows}"
    yield (
        f"{dataset.num_images:,} images of {shape_in_words(dataset.image_shape)}, "
        f"{dataset.licence}, {dataset.home}"
    )
    for factors, what in ((dataset.factors, "factor"), (dataset.hidden, "hidden factor")):
        for factor in factors:
            shown = ", ".join(factor.values[:_SHOWN_VALUES])
            more = f", … {factor.values[-1]}" if len(factor.values) > _SHOWN_VALUES else ""
            yield f"{what} {factor.name} ({len(factor.values)}): {shown}{more}"
    for file in dataset.files:
        there = "there" if is_there(file, root) else "not there"
        yield f"file {root / file.path}: {there}, from {_source(file)}"
        first = first_copy(file, root)
        if first is not None:
            commit = "" if first.commit is None else f" at commit {first.commit}"
            yield f"  first fetched from {first.source}{commit}, SHA-256 {first.sha256}"
    yield dataset.citation.bibtex()


def _source(file: RemoteFile) -> str:
    if isinstance(file, FileByHand):
        return f"{file.page} by hand, since {file.reason}"
    place = f"the Hub's {file.repository}" if isinstance(file, HubFile) else file.url
    return f"{place}, {readable_size(file.bytes)}, {file.digest or 'digest not published'}"


def _sizes(dataset: Dataset) -> str:
    if dataset.rendered:
        return "rendered"
    sizes = [file.bytes for file in dataset.files if not isinstance(file, FileByHand)]
    return readable_size(sum(sizes)) if sizes else "by hand"


def _is_here(dataset: Dataset, root: Path) -> bool:
    if dataset.rendered:
        return (root / dataset.name / f"{dataset.name}.npy").is_file()
    return all(is_there(file, root) for file in dataset.files)
