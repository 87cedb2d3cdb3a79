"""What the registry knows of a dataset, as a page shows it."""

import base64
import io

from docs.made.tables import table
from evaluation.common import environment
from evaluation.common.files import readable_size
from evaluation.common.images import shape_in_words
from evaluation.data import DATASETS, open_dataset
from evaluation.data.dataset import Dataset, Factor, FileByHand, HubFile, RemoteFile
from evaluation.data.sheet import contact_sheet

_SHOWN_VALUES = 8
_QUICKLY_RENDERED = 20_000
"""Images that the build renders for a picture of a set."""
_COLOURS = 128


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
                f"[`{dataset.name}`](sets/{dataset.name}.html)",
                f"[{page}]({page}.html)",
                f"{dataset.num_images:,}",
                shape_in_words(dataset.image_shape),
                shape_in_words([len(factor.values) for factor in dataset.factors]),
                dataset.licence,
            ]
        )
    return table(["Name", "About", "Images", "Format", "Factors", "Licence"], rows)


def page_of(name: str) -> str:
    """The page of one dataset: what the registry knows of it, and its contact sheet."""
    dataset = DATASETS[name]
    parts = [
        f"# {name}",
        f"{dataset.shows[0].upper()}{dataset.shows[1:]}. What to know before it is used: "
        "[Data](../index.md).",
        sheet(name),
        "## Factors\n\nIn the order of the images, the last one fastest.",
        factors(name),
    ]
    if dataset.files:
        parts += [
            "## Files",
            files(name),
            f"```bash\npython -m evaluation.data download {name}\n```",
        ]
    parts += ["## Sheet", picture(name), "## Citation", citation(name)]
    return "\n\n".join(parts) + "\n"


def picture(name: str) -> str:
    """The contact sheet of a dataset that is quickly rendered; of others, how to make it.

    The first rows show random images, and each further row walks through a factor.
    """
    command = f"```bash\npython -m evaluation.data sheet {name} --output scratch/sheet.png\n```"
    if not _is_quick(DATASETS[name]):
        return f"The build has no images of this set. With them, this makes the sheet:\n\n{command}"
    from PIL import Image

    pixels = contact_sheet(open_dataset(name, environment.data_root()))
    stream = io.BytesIO()
    Image.fromarray(pixels).quantize(_COLOURS).save(stream, format="png", optimize=True)
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    says = f"Random images of {name}, and a row for each factor with its values"
    return f"![{says}](data:image/png;base64,{data})\n\nMade by\n\n{command}"


def _is_quick(dataset: Dataset) -> bool:
    return not dataset.files and dataset.num_images <= _QUICKLY_RENDERED


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
