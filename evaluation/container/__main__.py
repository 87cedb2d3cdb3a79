"""Builds the submission's image, runs it as AIcrowd's evaluator does, and grades the result.

Two containers run from one image: the first runs the submission, the second grades its files. Both
have no network, no privileges, a read-only file system with the dataset, /tmp in memory and one
writable folder, /SHARED. Logs are always written to the output folder, scores after a success. The
submission's files are copied to `submitted/` there, so nobody takes them for files of the grader.
"""

import argparse
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from evaluation.common import environment
from evaluation.common.errors import NOT_EQUAL, KitError, run_command
from evaluation.common.flags import limits_from
from evaluation.common.terminal import console
from evaluation.container import limits
from evaluation.container.engine import find_engine, hardening
from evaluation.container.limits import ContainerLimits

IMAGE = "disentanglement-submission"


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    dataset, data_root = arguments.dataset, arguments.data_root.resolve()
    if not (data_root / dataset).is_dir():
        raise KitError(
            "CONTAINER-DATASET",
            f"{data_root / dataset} does not exist, and a container cannot make it",
            "Put the dataset there first; for a simulated one run "
            "`.venv/bin/python -m evaluation.data render NAME`",
        )

    engine = find_engine()
    output = arguments.output
    logs, submitted, experiment = output / "logs", output / "submitted", output.name
    engine.build(environment.checkout(), IMAGE, arguments.build_flags, logs / "build.log")
    (output / "scores.json").unlink(missing_ok=True)
    shutil.rmtree(submitted, ignore_errors=True)

    allowed = limits_from(arguments, ContainerLimits)
    settings = {
        "AICROWD_DATASET_NAME": dataset,
        "AICROWD_EVALUATION_NAME": experiment,
        "AICROWD_IS_GRADING": "0",  # events would need a network
        "AICROWD_OUTPUT_PATH": "/SHARED",
        "DISENTANGLEMENT_LIB_DATA": "/DATASET",
    }
    flags = [
        *hardening(allowed),
        *engine.gpu_flags(arguments.gpus),
        *(f"--env={name}={value}" for name, value in settings.items()),
        f"--volume={data_root}:/DATASET:ro",
    ]
    submission, grader = (f"{IMAGE}-{os.getpid()}-{role}" for role in ("submission", "grader"))
    with engine.containers(submission, grader):
        status = engine.run(
            submission,
            IMAGE,
            [*flags, f"--volume={submission}:/SHARED"],
            ["/home/aicrowd/run.sh"],
            logs / "submission.log",
            allowed.container_seconds,
        )
        if status != 0:
            console.print(f"The submission failed with status {status}: see {logs}.")
            return status
        engine.copy_out(submission, f"/SHARED/{experiment}", submitted)

        status = engine.run(
            grader,
            IMAGE,
            [*flags, f"--volume={grader}:/SHARED", f"--volume={submission}:/SUBMISSION:ro"],
            [
                *("python", "-m", "evaluation", "--dataset", dataset),
                *("--representation", f"/SUBMISSION/{experiment}/representation"),
                *("--output", f"/SHARED/{experiment}", *arguments.grader_flags),
            ],
            logs / "grader.log",
            allowed.container_seconds,
        )
        if status in (0, NOT_EQUAL):
            engine.copy_out(grader, f"/SHARED/{experiment}", output)
            console.print(f"Scores and logs are in {output}.")
        return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./local_eval.sh --docker",
        description="Builds the submission's image, runs it as AIcrowd's evaluator does, and "
        "grades the representation that it exports.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--gpus", metavar="WHICH", help="'all', or another value of Docker's flag --gpus"
    )
    parser.add_argument(
        "--dataset",
        default=environment.dataset_name(),
        metavar="NAME",
        help="dataset to run and grade with",
    )
    parser.add_argument(
        "--data-root",
        type=Path,
        default=environment.data_root(),
        metavar="DIR",
        help="folder that holds the dataset's folder",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=environment.SCRATCH / "container" / environment.evaluation_name(),
        metavar="DIR",
        help="folder for scores.json, the logs and, in submitted/, the submission's files; the "
        "folder's name is the name of the evaluation",
    )
    parser.add_argument(
        "--build-flag",
        action="append",
        default=[],
        dest="build_flags",
        metavar="FLAG",
        help="a flag for the build, for example --build-flag=--build-arg=BASE_IMAGE=debian:12",
    )
    parser.add_argument(
        "--grader-flag",
        action="append",
        default=[],
        dest="grader_flags",
        metavar="FLAG",
        help="a flag for `python -m evaluation`, for example --grader-flag=--metrics=mig",
    )
    limits.add_arguments(parser)
    return parser


if __name__ == "__main__":
    run_command(main)
