"""Renders the simulated MPI3D, finds damage, and shows what a dataset looks like."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from evaluation.common.environment import data_root
from evaluation.common.errors import BAD_INPUT, KitError, run_command
from evaluation.common.files import whole_file
from evaluation.common.terminal import console
from evaluation.data import DATASETS, find_dataset, open_dataset
from evaluation.data.blocks import StoredImages

_COLUMNS = 10


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    root: Path = arguments.data_root or data_root()
    if arguments.verb == "render":
        _render(arguments.names, root, arguments.npz)
    elif arguments.verb == "verify":
        return _verify(arguments.names, root)
    else:
        _draw(arguments.name, root, arguments.output)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m evaluation.data", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--data-root",
        type=Path,
        metavar="DIR",
        help="folder of one folder a dataset (default: $DISENTANGLEMENT_LIB_DATA, else"
        " scratch/dataset)",
    )
    render = verbs.add_parser(
        "render",
        parents=[common],
        help="render simulated datasets",
        description="Renders, or compares with their digests where they are there,"
        " mpi3d_sim_{toy,realistic,real}: 1,036,800 images, 12.7 GB. With _4x4"
        " at the end of the name it is the challenge's layout, 460,800 images, 5.7 GB; with _mini"
        " a few values of colour, shape and axes, 10,368 images, 0.1 GB.",
    )
    render.add_argument("names", nargs="+", metavar="NAME")
    render.add_argument(
        "--npz", action="store_true", help="also write NAME.npz, the format MPI3D is published in"
    )
    verify = verbs.add_parser(
        "verify",
        parents=[common],
        help="compare datasets with their digests",
        description="Reads all images, and says which are not what they were when they were"
        " rendered or first read. Status 2 if any is not. Nothing is changed.",
    )
    verify.add_argument("names", nargs="+", metavar="NAME")
    sheet = verbs.add_parser(
        "sheet", parents=[common], help="draw each factor of a dataset walked by itself"
    )
    sheet.add_argument("name", metavar="NAME")
    sheet.add_argument("--output", type=Path, required=True, metavar="PNG")
    return parser


def _render(names: Sequence[str], root: Path, npz: bool) -> None:
    from evaluation.data.mpi3d import write_npz

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


def _verify(names: Sequence[str], root: Path) -> int:
    from evaluation.data.verifying import verify

    for name in names:
        find_dataset(name)
    status = 0
    for name in names:
        try:
            verify(name, root)
        except KitError as damage:
            print(damage, file=sys.stderr)
            status = BAD_INPUT
    return status


def _draw(name: str, root: Path, output: Path) -> None:
    from PIL import Image

    from evaluation.data.sheet import contact_sheet

    sheet = Image.fromarray(contact_sheet(open_dataset(name, root), _COLUMNS))
    with whole_file(output) as temporary:
        sheet.save(temporary)
    console.print(f"Wrote {output}")


if __name__ == "__main__":
    run_command(main)
