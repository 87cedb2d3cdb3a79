"""`python -m submission VERB ...`: makes a representation, from fine-tuning to the upload.

Each verb imports its modules after the arguments are parsed, so `--help` is fast.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from evaluation.common import environment
from evaluation.common.devices import Placement, pick_device
from evaluation.common.errors import KitError, require, run_command
from evaluation.common.flags import listed, positive
from submission.delivery import verbs as delivery
from submission.study import verb as study


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m submission",
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for add_verb in (_add_finetune, _add_extract, _add_train, _add_export):
        add_verb(verbs)
    study.add_verb(verbs)
    delivery.add_verbs(verbs)
    command_line = sys.argv[1:] if argv is None else list(argv)
    arguments = parser.parse_args(command_line)
    arguments.command_line = command_line
    return arguments.run(arguments)


def _add_finetune(verbs: argparse._SubParsersAction) -> None:
    parser = _add_method_verb(
        verbs, "finetune", "tune the aggregated extractor on the labels of other datasets (stage 2)"
    )
    _add_devices(parser)
    parser.set_defaults(run=_finetune)


def _add_extract(verbs: argparse._SubParsersAction) -> None:
    parser = _add_method_verb(
        verbs, "extract", "make the features that train uses, which it would make itself"
    )
    _add_devices(parser)
    _add_codes_of(parser, "make the features of all images of these datasets instead")
    parser.set_defaults(run=_extract)


def _add_train(verbs: argparse._SubParsersAction) -> None:
    parser = _add_method_verb(
        verbs, "train", "train on the images of the target dataset without labels, and export"
    )
    _add_devices(parser)
    _add_codes_of(
        parser,
        "also write the codes of these datasets to codes/, made from features of all their images",
    )
    parser.set_defaults(run=_train)


def _add_export(verbs: argparse._SubParsersAction) -> None:
    parser = _add_method_verb(verbs, "export", "write the representation of a finished training")
    parser.add_argument(
        "--untrained",
        action="store_true",
        help="write the same architecture with its initial weights to representation-untrained/, "
        "as a baseline",
    )
    parser.set_defaults(run=_export, devices=1)


def _add_method_verb(
    verbs: argparse._SubParsersAction, name: str, summary: str
) -> argparse.ArgumentParser:
    """Adds a verb with a config and, but for `extract`, an experiment as arguments.

    Args:
        summary: What the verb does, in lower case, without a full stop.
    """
    parser = verbs.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("config", type=Path, metavar="CONFIG", help="gin file")
    if name != "extract":  # its result belongs to all experiments that have the same features
        parser.add_argument(
            "experiment",
            metavar="EXPERIMENT",
            help="name of the experiment's folder in $AICROWD_OUTPUT_PATH",
        )
    parser.add_argument(
        "--binding",
        action="append",
        default=[],
        dest="bindings",
        metavar="'A.B = C'",
        help="gin binding that overrides the file; may be given more than once",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--precision",
        choices=("float32", "bf16"),
        default="float32",
        help="bf16 is faster where the hardware has it, and changes the codes slightly",
    )
    parser.add_argument(
        "--features-dir",
        type=Path,
        default=environment.SCRATCH / "features",
        metavar="DIR",
        help="folder for cached feature tables",
    )
    return parser


def _add_devices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--devices",
        type=positive,
        default=1,
        metavar="N",
        help="number of processes on this machine, one for each device; for several machines, use "
        "torchrun",
    )


def _add_codes_of(parser: argparse.ArgumentParser, summary: str) -> None:
    parser.add_argument("--codes-of", type=listed, default=[], metavar="A,B", help=summary)


def _finetune(arguments: argparse.Namespace) -> int:
    def finetune(placement: Placement) -> None:
        from submission.finetuning.run import finetune

        finetune(arguments.experiment, placement)

    return _run_on_devices(arguments, finetune)


def _extract(arguments: argparse.Namespace) -> int:
    def extract(placement: Placement) -> None:
        from submission.training import leave_features

        leave_features(placement, features_dir=arguments.features_dir, codes_of=arguments.codes_of)

    return _run_on_devices(arguments, extract)


def _train(arguments: argparse.Namespace) -> int:
    def train(placement: Placement) -> None:
        from submission import transfer

        if transfer.is_configured():
            from submission.transfer.run import train as adapt

            if arguments.codes_of:
                raise KitError(
                    "FEATURES-NONE",
                    f"--codes-of names {', '.join(arguments.codes_of)}, but {arguments.config} "
                    "adapts a network and has no features",
                    "Omit the flag, and grade the representation",
                )
            adapt(arguments.experiment, placement, features_dir=arguments.features_dir)
            return
        from submission.training import train

        train(
            arguments.experiment,
            placement,
            features_dir=arguments.features_dir,
            codes_of=arguments.codes_of,
        )

    return _run_on_devices(arguments, train)


def _export(arguments: argparse.Namespace) -> int:
    def export(placement: Placement) -> None:
        from submission import transfer

        if transfer.is_configured():
            from submission.transfer.run import export_trained, export_untrained
        else:
            from submission.training import export_trained, export_untrained
        step = export_untrained if arguments.untrained else export_trained
        step(arguments.experiment, placement, features_dir=arguments.features_dir)

    return _run_on_devices(arguments, export)


def _run_on_devices(arguments: argparse.Namespace, step: Callable[[Placement], None]) -> int:
    """Loads the config and runs `step` in `--devices` processes. Returns the exit status."""
    require("torchvision")  # the extra with torchvision installs all packages for training
    environment.use_huge_pages()
    environment.keep_freed_memory()
    from evaluation.data import find_dataset
    from submission import config

    find_dataset(environment.dataset_name())
    config.load(arguments.config, arguments.bindings)
    from submission.runtime import distributed
    from submission.runtime.advice import advise

    placement = Placement(pick_device(arguments.device), arguments.precision)
    if arguments.devices > 1 and not distributed.is_launched():
        return distributed.launch(arguments.devices, placement.device, arguments.command_line)
    with distributed.process_group(placement) as own:
        if arguments.verb != "export":
            advise(own)
        step(own)
    return 0


def command() -> None:
    """The entry point of the installed console script."""
    run_command(main)


if __name__ == "__main__":
    command()
