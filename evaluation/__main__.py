"""`python -m evaluation`: grades representations, or a table of codes."""

import argparse
import sys
import tempfile
import webbrowser
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation import outputs
from evaluation.common import devices, environment
from evaluation.common.errors import BAD_INPUT, NOT_EQUAL, KitError, require, run_command
from evaluation.common.flags import (
    add_scheduling,
    factor_kinds,
    image_size,
    limits_from,
    listed,
    positive,
)
from evaluation.common.terminal import silent
from evaluation.metrics import CHALLENGE, METRICS
from evaluation.representation import limits
from evaluation.rules import FAST, REFERENCE, RUNS_ANYTHING, Rules

if TYPE_CHECKING:  # which takes a command's whole start to import
    from evaluation.data.factor_table import Gradable
    from evaluation.many.jobs import Scheduler
    from evaluation.representation.finding import Found

FRAMES = "frames"
VERBS = ("compare", "leaderboard", "serve")
"""Those that show what was graded."""


class _Defaults(argparse.ArgumentDefaultsHelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str | None:
        return super()._get_help_string(action) if action.default else action.help


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m evaluation",
        description="Grades representations as the challenge did. `python -m evaluation compare`, "
        "`leaderboard` and `serve` show what was graded; `frames` runs on frames without labels; "
        "`doctor` says what this machine has.",
        formatter_class=_Defaults,
    )
    subject = made.add_mutually_exclusive_group(required=True)
    subject.add_argument(
        "--representation",
        type=Path,
        nargs="+",
        metavar="PATH",
        help="TorchScript or dill file, SavedModel folder, experiment, or a folder of any of them",
    )
    subject.add_argument(
        "--codes",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="tables of codes, one row an image: .npy, .npz or .pt",
    )
    add = made.add_argument
    add(
        "--dataset",
        default=environment.dataset_name(),
        metavar="NAME|PATH",
        help="data to grade on; of your own, a folder of images with a table, .npz or .h5",
    )
    add(
        "--factors",
        type=Path,
        metavar="FILE",
        help="factors of your own data, a row a point: .csv, .parquet, .npy or .npz",
    )
    add("--factor-columns", type=listed, metavar="A,B", help="columns of the table to score by")
    add(
        "--factor-kinds",
        type=factor_kinds,
        default={},
        metavar="A=discrete,B=continuous",
        help="what factors are, where it is not to be found out",
    )
    add(
        "--image-size",
        type=image_size,
        metavar="HxW",
        help="height and width that the images of a folder are resized to",
    )
    add(
        "--data-root",
        type=Path,
        default=environment.data_root(),
        metavar="DIR",
        help="folder of the datasets",
    )
    add(
        "--metrics",
        type=listed,
        metavar="A,B",
        help=f"all, or some of {', '.join(METRICS)} (default: the challenge's five)",
    )
    add("--config", type=Path, metavar="FILE.gin", help="gin file with get_eval_metrics.metrics")
    add(
        "--engine",
        dest="implementation",
        choices=("fast", "disentanglement_lib"),
        default="fast",
        help="whose metrics",
    )
    add("--verify", action="store_true", help="run both engines; exit 3 if they differ")
    add("--seed", type=int, default=0, help="sampling seed; the challenge's is 0")
    add("--seeds", type=positive, default=1, metavar="N", help="number of sampling seeds")
    add("--baseline", type=Path, metavar="PATH", help="an untrained encoder to score beside")
    add_scheduling(made, "gradings", "grade")
    add(
        "--sync",
        action="store_true",
        help="copy data and representations to the cluster's nodes, and the results back",
    )
    add("--device", default="auto", help="where to encode: auto, cpu, cuda or cuda:N")
    add("--precision", choices=("float32", "bf16"), default="float32", help="how to encode")
    add("--allow-unstable", action="store_true", help="grade codes that vary for the same image")
    add(
        "--strict",
        action="store_true",
        help="refuse what this machine cannot isolate, and programs",
    )
    add(
        "--allow-kinds",
        type=_kinds,
        default=(),
        metavar="A,B",
        help=f"kinds that --strict does not refuse: some of {', '.join(RUNS_ANYTHING)}",
    )
    add(
        "--output",
        type=Path,
        default=environment.output_path() / environment.evaluation_name(),
        metavar="DIR",
        help="where scores.json is written",
    )
    add("--quiet", action="store_true", help="print nothing but errors")
    add("--json", action="store_true", help="print the content of scores.json, and nothing else")
    add("--debug", action="store_true", help="print a traceback above an error's line")
    add("--no-page", action="store_true", help="leave no report.html beside scores.json")
    add("--compared-with", type=Path, metavar="RUN", help="a graded run, shown on the page beside")
    add("--open", action="store_true", help="show the page in a browser at the end")
    limits.add_arguments(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    if words and words[0] == FRAMES:
        from evaluation.codes.frames import verb

        return verb.main(words[1:])
    if words and words[0] in VERBS:
        from evaluation.report.runs import verbs

        return verbs.main(words)
    if words and words[0] == "doctor":
        from evaluation.doctor import command

        return command.main(words[1:])
    arguments = parser().parse_args(words)
    metrics = _metrics(arguments.metrics, arguments.config)
    if arguments.implementation == REFERENCE or arguments.verify:
        _require_references(metrics, every=arguments.implementation == REFERENCE)
    _require_seeds(arguments.seed, arguments.seeds)
    if arguments.sync and arguments.cluster is None:
        raise KitError(
            "SYNC-CLUSTER", "--sync copies to a cluster, and none is named", "Add --cluster"
        )
    if arguments.workers > 1 or arguments.cluster is not None:
        _require_any_gpu(arguments.device)

    from evaluation.data.opening import open_data
    from evaluation.grading import Pages, grade_all
    from evaluation.report.page import NAME
    from evaluation.report.runs.reading import read_run
    from evaluation.representation.finding import all_given_codes, find_all, only

    founds, refused = (
        all_given_codes(arguments.codes) if arguments.codes else find_all(arguments.representation)
    )
    baseline = only(arguments.baseline) if arguments.baseline else None
    rules = Rules(
        metrics=metrics,
        implementation=arguments.implementation,
        verify=arguments.verify,
        seed=arguments.seed,
        seeds=arguments.seeds,
        placement=devices.Placement(_device(arguments), arguments.precision),
        allow_unstable=arguments.allow_unstable,
        strict=arguments.strict,
        allowed_kinds=arguments.allow_kinds,
        limits=limits_from(arguments, limits.Limits),
    )
    other = read_run(arguments.compared_with) if arguments.compared_with else None
    pages = None if arguments.no_page else Pages(compared_with=other)
    opening = partial(
        open_data,
        arguments.dataset,
        arguments.data_root.absolute(),
        arguments.factors,
        arguments.factor_columns,
        arguments.factor_kinds,
        arguments.image_size,
    )
    data = opening()
    _require_grid(data, rules)
    _make_folder(arguments.output)
    with silent(arguments.quiet or arguments.json):
        outcome = grade_all(
            founds,
            refused,
            data,
            rules,
            arguments.output,
            baseline,
            pages,
            _grader(arguments, founds),
            opening,
        )
    if arguments.json:
        alone = len(founds) + len(refused) == 1
        written = arguments.output / (outputs.SCORES if alone else outputs.ALL_SCORES)
        if outcome.rows:
            print(written.read_text(encoding="utf-8"), end="")
    shown = arguments.output / NAME
    if arguments.open and shown.is_file():
        webbrowser.open(shown.resolve().as_uri())
    if outcome.refused:
        return BAD_INPUT
    return NOT_EQUAL if any(row.equal is False for row in outcome.rows.values()) else 0


def _device(arguments: argparse.Namespace) -> str:
    # Tables of codes need no device, and torch takes seconds to say which there are.
    if arguments.codes and not arguments.baseline and arguments.device == "auto":
        return "cpu"
    return devices.pick_device(arguments.device)


def _grader(arguments: argparse.Namespace, founds: Sequence["Found"]) -> "Scheduler":
    if arguments.cluster is not None:
        from evaluation.codes import ledger
        from evaluation.many.cluster import on_cluster
        from evaluation.many.copying import Copying

        reads = [found.path for found in founds] + _data_files(arguments)
        copying = Copying(reads, ledger.has, ledger.enter)
        return on_cluster(arguments.cluster, copying if arguments.sync else None)
    if arguments.workers > 1:
        from evaluation.many.processes import in_processes

        return in_processes(arguments.workers)
    from evaluation.many.jobs import one_after_another

    return one_after_another


def _data_files(arguments: argparse.Namespace) -> list[Path]:
    """The files and folders of the data."""
    from evaluation.data import DATASETS

    read = [] if arguments.factors is None else [arguments.factors]
    dataset = DATASETS.get(arguments.dataset)
    if dataset is None:
        return [*read, Path(arguments.dataset)]
    folders = {dataset.name, *(Path(file.path).parts[0] for file in dataset.files)}
    return [*read, *(arguments.data_root / folder for folder in sorted(folders))]


def _require_grid(data: "Gradable", rules: Rules) -> None:
    from evaluation.data.factor_table import FactorTable

    if isinstance(data.numbered, FactorTable) and (rules.verify or rules.implementation != FAST):
        raise KitError(
            "REFERENCE-ROWS",
            f"the rows of {data.name} are no full grid, and disentanglement_lib draws from grids",
            "Choose the engine fast, without --verify",
        )


def _kinds(text: str) -> tuple[str, ...]:
    """Kinds of RUNS_ANYTHING, as argparse's `type`."""
    kinds = tuple(name.strip() for name in text.split(","))
    for kind in kinds:
        if kind not in RUNS_ANYTHING:
            raise argparse.ArgumentTypeError(f"{kind!r} is not one of {', '.join(RUNS_ANYTHING)}")
    return kinds


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise KitError(
            "OUTPUT-UNWRITABLE",
            f"cannot write to {folder}: {error.strerror}",
            "Give a folder that this user can write to, by --output",
        ) from None


def _metrics(given: Sequence[str] | None, config: Path | None) -> tuple[str, ...]:
    names = given
    if config is not None:
        from evaluation.common.gin_config import get_eval_metrics, load

        load(config)
        names = given or get_eval_metrics()
    if names is None:
        names = [metric.name for metric in CHALLENGE]
    if not names:
        raise KitError(
            "METRIC-NONE", f"{config} names no metric", f"Choose from {', '.join(METRICS)}"
        )
    if list(names) == ["all"]:
        names = list(METRICS)
    for name in names:
        if name not in METRICS:
            raise KitError(
                "METRIC-NAME",
                f"there is no metric {name!r}",
                f"Choose from {', '.join(METRICS)}, or all by itself",
            )
    return tuple(name for name in METRICS if name in names)


def _require_references(names: Sequence[str], every: bool) -> None:
    """Refuses metrics that disentanglement_lib lacks: any, or all, where some of them will do."""
    require("disentanglement_lib")
    lacking = [name for name in names if METRICS[name].reference is None]
    if lacking and (every or len(lacking) == len(names)):
        raise KitError(
            "METRIC-REFERENCE",
            f"disentanglement_lib has no {', '.join(lacking)}",
            "Leave it out, or choose the engine fast, without --verify",
        )


def _require_any_gpu(device: str) -> None:
    if ":" in device:
        raise KitError(
            "DEVICE-SHARED",
            f"several workers share the GPUs, but --device names {device}",
            "Choose --device cuda, and the GPUs with CUDA_VISIBLE_DEVICES",
        )


def _require_seeds(seed: int, seeds: int) -> None:
    if not 0 <= seed <= 2**32 - seeds:
        raise KitError(
            "SEED-RANGE",
            f"seeds from {seed} to {seed + seeds - 1} are not all in 0 to {2**32 - 1}",
            "Choose another --seed",
        )


def command() -> None:
    """What the console script of the installed kit calls."""
    run_command(main)


if __name__ == "__main__":
    command()
