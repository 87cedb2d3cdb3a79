"""Stage 2 as reported, at full size, from nothing to its scores: the time of each phase.

    python -m tests.benchmarks.bench_stage2 [--limit 540] [--folder DIR] [--device cuda] [--quick]

Renders three sets of 1,036,800 images (38 GB), fine-tunes VGG19 on two of them for 5 epochs, trains
the VAE on the third for 120, and grades it, with the commands that a user has. The network starts
from random weights, so the scores are not those of the report.

With --limit it stops after so many seconds, with status 75. The same command goes on from there:
each piece does again what its phase had not saved, and its time counts, too. `--small` does the
same on small sets with a small network, so that a CPU needs minutes.

`--quick` does something else with the same machinery: it trains `quick.gin` on small sets, and
grades its encoder on a whole set of 1,036,800 images.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.table import Table

from evaluation.common import environment
from evaluation.common.errors import run_command
from evaluation.common.files import write_json
from evaluation.common.terminal import console

STOPPED = 75
"""The exit status of a piece that ran out of time, as sysexits.h calls a temporary failure."""
_GOAL = 1200
_LOOKS = ("toy", "realistic", "real")
_SMALL = (
    "get_feature_extractor.interpolation_size = (16, 16)",
    "get_feature_extractor.stage = 2",
    "main.dataset_size = 256",
    "AggregatedFeatureExtractor.kernel_sizes = [2, 2, 1]",
    "AggregatedFeatureExtractor.features = [16, 16, 8]",
    "main.batch_size = 32",
)
_SMALL_TUNING = ("train.epochs = 1",)
_SMALL_VAE = (
    "train_vae.epochs = 2",
    "Encoder.features_per_layer = [32]",
    "Decoder.features_per_layer = [32]",
)


class Phase(NamedTuple):
    """A part of the work: its name, the arguments of `python`, and the seconds it should take."""

    name: str
    arguments: list[str]
    goal: float | None = None


def quick_phases(folder: Path, small: bool, where: list[str]) -> list[Phase]:
    """The commands that train quick's encoder, and grade it on a whole set, or a small one."""
    graded = f"mpi3d_sim_{_LOOKS[2]}" + ("_mini" if small else "")
    results = str(folder / "shared" / "quick")
    grade = ["-m", "evaluation", "--representation", f"{results}/representation", *where]
    shortened = ["--binding", "main.dataset_size = 256", "--binding", "train.epochs = 1"]

    def method(verb: str) -> list[str]:
        arguments = ["-m", "submission", verb, "submission/configs/quick.gin", "quick", *where]
        return [*arguments, *(shortened if small else ())]

    return [
        Phase("quick's fine-tuning", method("finetune")),
        Phase("quick's export", method("train")),
        Phase("compiling the metrics", ["-m", "evaluation.metrics.compile"]),
        Phase(f"render {graded}", ["-m", "evaluation.data", "render", graded]),
        Phase(
            "grading quick's encoder",
            [*grade, "--dataset", graded, "--output", results, "--no-page"],
            40.0,
        ),
    ]


def phases(sets: Sequence[str], folder: Path, small: bool, where: list[str]) -> list[Phase]:
    """The commands, for two labelled sets and the target."""
    shared = ["get_feature_extractor.pretrained = False", *(_SMALL if small else ())]
    tuning = [f"main.dataset_name = {list(sets[:2])}", *(_SMALL_TUNING if small else ())]
    vae = _SMALL_VAE if small else ()
    features = ["--features-dir", str(folder / "features")]

    def method(verb: str, config: str, more: Sequence[str]) -> list[str]:
        bindings = [part for each in (*shared, *more) for part in ("--binding", each)]
        path = f"submission/configs/{config}.gin"
        return ["-m", "submission", verb, path, "stage2", *where, *bindings]

    results = str(folder / "shared" / "stage2")
    grade = ["-m", "evaluation", "--representation", f"{results}/representation", *where]
    return [
        *(Phase(f"render {name}", ["-m", "evaluation.data", "render", name]) for name in sets),
        Phase("fine-tuning", method("finetune", "stage2_finetuning", tuning)),
        Phase("features, VAE, export", [*method("train", "stage2_vae", vae), *features]),
        Phase("grading", [*grade, "--dataset", sets[2], "--output", results]),
    ]


def run(
    phase: Phase, environment_of: dict[str, str], end: float, note: Callable[[float], None]
) -> int | None:
    """Runs a phase, and notes its seconds as they pass.

    Returns:
        The command's status; None if the time `end` came first, and the command was stopped.
    """
    start = time.monotonic()
    with subprocess.Popen(
        [sys.executable, *phase.arguments],
        cwd=environment.REPOSITORY,
        env=os.environ | environment_of,
    ) as process:
        while True:
            try:
                status = process.wait(max(0.0, min(1.0, end - time.monotonic())))
            except subprocess.TimeoutExpired:
                note(time.monotonic() - start)
                if time.monotonic() < end:
                    continue
                process.send_signal(signal.SIGTERM)
                process.wait()
                return None
            note(time.monotonic() - start)
            return status


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="auto", help="auto, cuda, cuda:N or cpu")
    parser.add_argument("--precision", default="bf16", choices=("float32", "bf16"))
    parser.add_argument("--limit", type=float, default=float("inf"), metavar="SECONDS")
    parser.add_argument("--small", action="store_true", help="small sets and a small network")
    parser.add_argument("--quick", action="store_true", help="grade quick's encoder instead")
    parser.add_argument(
        "--folder", type=Path, default=environment.SCRATCH / "bench_stage2", metavar="DIR"
    )
    arguments = parser.parse_args(argv)
    folder = arguments.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    in_small = arguments.small or arguments.quick
    sets = [f"mpi3d_sim_{look}" + ("_mini" if in_small else "") for look in _LOOKS]
    environment_of = {
        "AICROWD_DATASET_NAME": sets[2],
        "AICROWD_OUTPUT_PATH": str(folder / "shared"),
        "DISENTANGLEMENT_LIB_DATA": str(folder / "data"),
        "TORCH_HOME": str(folder / "torch"),
    }
    where = ["--device", arguments.device, "--precision", arguments.precision]
    if arguments.quick:
        planned, goal = quick_phases(folder, arguments.small, where), None
    else:
        planned, goal = phases(sets, folder, arguments.small, where), _GOAL
    record = folder / ("quick_seconds.json" if arguments.quick else "seconds.json")
    found: dict[str, Any] = json.loads(record.read_text()) if record.exists() else {}
    end = time.monotonic() + arguments.limit
    status: int | None = 0
    for phase in planned:
        entry = found.setdefault(phase.name, {"pieces": [], "done": False})
        if entry["done"]:
            continue
        entry["pieces"].append(0.0)

        def note(seconds: float, entry: dict[str, Any] = entry) -> None:
            entry["pieces"][-1] = seconds
            write_json(record, found)

        status = run(phase, environment_of, end, note)
        entry["done"] = status == 0
        write_json(record, found)
        if status != 0:
            break
    _print(found, planned, goal)
    if status is None:
        console.print("The time was up. The same command goes on from here")
    return STOPPED if status is None else status


def _print(found: dict[str, Any], planned: Sequence[Phase], goal: float | None) -> None:
    table = Table()
    for column in ("Phase", "Seconds", "Pieces", "", "Goal on one H100"):
        table.add_column(column, justify="right" if column in ("Seconds", "Pieces") else "left")
    for phase in planned:
        if phase.name not in found:
            continue
        entry = found[phase.name]
        state = "done" if entry["done"] else "goes on"
        seconds, pieces = sum(entry["pieces"]), str(len(entry["pieces"]))
        wanted = "" if phase.goal is None else f"{phase.goal:.0f}"
        table.add_row(phase.name, f"{seconds:.0f}", pieces, state, wanted)
    console.print(table)
    total = sum(sum(entry["pieces"]) for entry in found.values())
    console.print(
        f"{total:.0f} s in all" + ("" if goal is None else f"; the goal on one H100 is {goal:,} s")
    )


if __name__ == "__main__":
    run_command(main)
