"""What the registry knows of a dataset, as a page shows it."""

from docs.made.tables import table
from evaluation.common.files import readable_size
from evaluation.common.images import shape_in_words
from evaluation.data import DATASETS
from evaluation.data.dataset import Dataset, Factor, FileByHand, HubFile, RemoteFile

_SHOWN_VALUES = 8


def overview(pages: dict[str, str]) -> str:
    """All datasets.

    Args:
        pages: The page of each dataset whose name begins so; the longest beginning counts.
    """
    rows = []
    for dataset in DATASETS.values():
        page = pages[max((start for start in pages if dataset.name.startswith(start)), key=len)]
        rows.append(
            [
                f"[`{dataset.name}`]({page}.md)",
                f"{dataset.num_images:,}",
                shape_in_words(dataset.image_shape),
                shape_in_words([len(factor.values) for factor in dataset.factors]),
                dataset.licence,
            ]
        )
    return table(["Name", "Images", "Format", "Factors", "Licence"], rows)


def sheet(*names: str) -> str:
    """What the datasets of these names have in common with each other, and their files."""
    datasets = [DATASETS[name] for name in names]
    rows = [[f"`{one.name}`", one.shows, f"{one.num_images:,}", _size(one)] for one in datasets]
    first = datasets[0]
    parts = [
        table(["Name", "Shows", "Images", "Of"], rows),
        f"Home: <{first.home}>. Licence: {first.licence}."
        if "://" in first.home
        else f"Made by `{first.home}`. Licence: {first.licence}.",
    ]
    return "\n\n".join(parts)


def factors(name: str) -> str:
    """The factors of a dataset in their order, the slowest first, then the hidden ones."""
    dataset = DATASETS[name]
    rows = [[f"`{one.name}`", len(one.values), _values(one)] for one in dataset.factors]
    rows += [
        [f"`{one.name}`", len(one.values), f"{_values(one)} (hidden: drawn anew each time)"]
        for one in dataset.hidden
    ]
    return table(["Factor", "Values", "Which"], rows)


def files(*names: str) -> str:
    """Where the files of these datasets come from and where they belong."""
    found = dict.fromkeys(file for name in names for file in DATASETS[name].files)
    rows = [[f"`{file.path}`", _source(file), *_size_and_digest(file)] for file in found]
    where = "Below `$DISENTANGLEMENT_LIB_DATA` (default: `scratch/dataset`):"
    return f"{where}\n\n" + table(["File", "From", "Size", "Digest"], rows)


def citation(name: str) -> str:
    return f"```bibtex\n{DATASETS[name].citation.bibtex()}\n```"


def _size(dataset: Dataset) -> str:
    return shape_in_words(dataset.image_shape)


def _values(factor: Factor) -> str:
    shown = ", ".join(factor.values[:_SHOWN_VALUES])
    more = len(factor.values) > _SHOWN_VALUES
    return f"{shown}, … {factor.values[-1]}" if more else shown


def _source(file: RemoteFile) -> str:
    if isinstance(file, FileByHand):
        return f"<{file.page}>, by hand: {file.reason}"
    if isinstance(file, HubFile):
        return f"<https://huggingface.co/datasets/{file.repository}>"
    return f"<{file.url}>"


def _size_and_digest(file: RemoteFile) -> tuple[str, str]:
    if isinstance(file, FileByHand):
        return "", ""
    return readable_size(file.bytes), f"`{file.digest}`" if file.digest else "not published"
