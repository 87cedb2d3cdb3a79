"""Lists, downloads, describes, verifies, converts, renders and shows datasets."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from evaluation.common.environment import data_root
from evaluation.common.errors import BAD_INPUT, KitError, require, run_command
from evaluation.common.files import whole_file
from evaluation.common.terminal import console
from evaluation.data import DATASETS, find_dataset, open_dataset
from evaluation.data.storage.blocks import StoredImages


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    root: Path = arguments.data_root or data_root()
    if arguments.verb == "list":
        from evaluation.data.describing import print_table

        print_table(root)
    elif arguments.verb == "info":
        from evaluation.data.describing import print_page

        print_page(arguments.name, root)
    elif arguments.verb == "download":
        return _each(arguments.names, lambda name: _download(name, root, arguments.revision))
    elif arguments.verb == "verify":
        from evaluation.data.storage.verifying import verify

        return _each(arguments.names, lambda name: verify(name, root))
    elif arguments.verb == "convert":
        _convert(arguments.name, root)
    elif arguments.verb == "render":
        _render(arguments.names, root, arguments.npz)
    else:
        _draw(arguments.name, root, arguments.output, arguments.beside)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m evaluation.data", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--data-root",
        type=Path,
        metavar="DIR",
        help="folder that holds one folder for each dataset (default: $DISENTANGLEMENT_LIB_DATA,"
        " else scratch/dataset)",
    )
    verbs.add_parser("list", parents=[common], help="all datasets in a table")
    download = verbs.add_parser(
        "download",
        parents=[common],
        help="fetch datasets from where they are published",
        description="Fetches the missing files, compares them with their digests, and unpacks them."
        " An interrupted download continues where it stopped. If no program can fetch a dataset,"
        " the command says where to get it and where to put it.",
    )
    download.add_argument("names", nargs="+", metavar="NAME")
    download.add_argument(
        "--revision",
        metavar="COMMIT",
        help="commit of the Hub's repository (default: the first that was fetched, or the newest)",
    )
    verify = verbs.add_parser(
        "verify",
        parents=[common],
        help="compare datasets with their digests",
        description="Reads all images, and names those that changed since they were rendered or"
        " first read. The status is 2 if any changed. Nothing is written.",
    )
    verify.add_argument("names", nargs="+", metavar="NAME")
    info = verbs.add_parser(
        "info",
        parents=[common],
        help="show all facts about a dataset and its files on this machine",
    )
    info.add_argument("name", metavar="NAME")
    convert = verbs.add_parser(
        "convert",
        parents=[common],
        help="write a dataset in the format that disentanglement_lib reads",
    )
    convert.add_argument("name", metavar="NAME")
    render = verbs.add_parser(
        "render",
        parents=[common],
        help="render simulated datasets",
        description="Renders mpi3d_sim_{toy,realistic,real,hard}: 1,036,800 images, 12.7 GB. A"
        " dataset that exists is compared with its digests. With _4x4 at the end of the name it has"
        " the challenge's layout: 460,800 images, 5.7 GB. With _mini it has fewer colours, shapes"
        " and axis values: 10,368 images, 0.1 GB.",
    )
    render.add_argument("names", nargs="+", metavar="NAME")
    render.add_argument(
        "--npz", action="store_true", help="also write NAME.npz, MPI3D's published format"
    )
    sheet = verbs.add_parser(
        "sheet",
        parents=[common],
        help="draw random images of a dataset, and a row of images for each factor",
    )
    sheet.add_argument("name", metavar="NAME")
    sheet.add_argument("--output", type=Path, required=True, metavar="PNG")
    sheet.add_argument(
        "--beside",
        type=Path,
        metavar="NPZ",
        help="frames of the real dataset, (factors, steps, height, width, 3) under a name that is a"
        " part of NAME, as real of mpi3d_sim_real_mini: a row below that of each factor",
    )
    return parser


def _each(names: Sequence[str], do: Callable[[str], None]) -> int:
    """Calls `do` for every dataset. An error of one is printed, and the others still run.

    Returns:
        The exit status: 0, or `BAD_INPUT` if any failed.
    """
    for name in names:
        find_dataset(name)
    status = 0
    for name in names:
        try:
            do(name)
        except KitError as refusal:
            print(refusal, file=sys.stderr)
            status = BAD_INPUT
    return status


def _download(name: str, root: Path, revision: str | None) -> None:
    from evaluation.data.download.fetching import download

    download(find_dataset(name), root, revision)


def _convert(name: str, root: Path) -> None:
    dataset = find_dataset(name)
    if dataset.convert is None:
        can_be = ", ".join(each.name for each in DATASETS.values() if each.convert)
        raise KitError(
            "DATA-NAME",
            f"{name} has no conversion: disentanglement_lib reads the published file, or has no"
            " reader for this dataset",
            f"Use the file as it is; datasets with a conversion: {can_be}",
        )
    console.print(f"Wrote {dataset.convert(name, root)}", markup=False)


def _render(names: Sequence[str], root: Path, npz: bool) -> None:
    from evaluation.data.sets.mpi3d import write_npz

    can_be = [name for name, dataset in DATASETS.items() if dataset.rendered]
    for name in names:
        if name not in can_be:
            raise KitError(
                "DATA-NAME",
                f"{name!r} is not a dataset that can be rendered",
                f"Choose among {', '.join(can_be)}",
            )
    for name in names:
        dataset = open_dataset(name, root)
        assert isinstance(dataset.images, StoredImages)
        dataset.images.check()
        console.print(f"{name}: {len(dataset):,} images, SHA-256 {dataset.fingerprint}")
        if npz:
            console.print(f"Wrote {write_npz(name, root, dataset.images)}")


def _draw(name: str, root: Path, output: Path, beside: Path | None) -> None:
    require("PIL")
    from PIL import Image

    from evaluation.data.frames import frames_beside, read_frames
    from evaluation.data.sheet import contact_sheet

    dataset = open_dataset(name, root)
    frames = frames_beside(dataset, read_frames(beside)) if beside else None
    sheet = Image.fromarray(contact_sheet(dataset, frames))
    with whole_file(output) as temporary:
        sheet.save(temporary)
    console.print(f"Wrote {output}", markup=False)


if __name__ == "__main__":
    run_command(main)
