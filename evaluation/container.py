"""The submission's image, built, run as AIcrowd's evaluator would, and graded.

Two containers of one image: the first runs the submission, the second grades what that left behind.
Both get no network, no privileges, a read-only file system with the dataset in it, /tmp in memory
and one writable folder, /SHARED. Results, and the logs whatever happens, land in the output folder.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from evaluation import environment, limits
from evaluation.errors import KitError, run_command
from evaluation.limits import ContainerLimits
from evaluation.terminal import console

IMAGE = "disentanglement-submission"


@dataclass(frozen=True)
class Run:
    """What both containers have in common."""

    engine: str
    flags: list[str]
    seconds: float
    logs: Path

    def command(self, name: str, command: Sequence[str], volumes: Sequence[str]) -> int:
        """Runs `command` in a container `name`, which is left for its results to be taken.

        Returns:
            The command's exit status.

        Raises:
            KitError: `CONTAINER-TIME`, it took longer than allowed and was ended.
        """
        mounts = [f"--volume={volume}" for volume in volumes]
        with _ended_after(self.seconds, [self.engine, "kill", name]) as ran_out:
            status = _logged(
                [self.engine, "run", f"--name={name}", *self.flags, *mounts, IMAGE, *command],
                self.logs / f"{name.rpartition('-')[2]}.log",
            )
        if ran_out.is_set():
            raise KitError(
                "CONTAINER-TIME",
                f"the container {name} was ended after {self.seconds:g} s",
                f"Look at {self.logs}, or allow more with --max-container-seconds",
            )
        return status


def find_engine() -> str:
    """Docker where its daemon answers, else Podman."""
    for engine in ("docker", "podman"):
        if shutil.which(engine) and _quiet(engine, "info") == 0:
            return engine
    raise KitError(
        "CONTAINER-ENGINE",
        "neither a Docker daemon nor Podman answers",
        "Install Docker, or start it, or install Podman",
    )


def _gpu_flags(engine: str, wanted: str | None) -> list[str]:
    """Flags that hand GPUs over, where there are any; says so where they are wanted and missing."""
    if wanted is None:
        return []
    if shutil.which("nvidia-smi") is None or _quiet("nvidia-smi", "--list-gpus") != 0:
        console.print(f"No NVIDIA GPU is found here: going on without --gpus {wanted}.")
        return []
    if engine == "docker":
        return [f"--gpus={wanted}"]
    return [f"--device=nvidia.com/gpu={wanted}"]


def hardening(allowed: ContainerLimits) -> list[str]:
    """The flags that shut a container in."""
    return [
        "--no-healthcheck",
        "--network=none",
        "--read-only",
        "--tmpfs=/tmp",
        "--user=1001",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        f"--pids-limit={allowed.container_pids}",
        f"--memory={allowed.container_memory_gib}g",
        f"--shm-size={allowed.container_shm_gib}g",
    ]


def _build(engine: str, build_flags: Sequence[str], log: Path) -> None:
    """Builds the image from the repository's Dockerfile.

    Raises:
        KitError: `CONTAINER-BUILD`, with the log's path.
    """
    # HEALTHCHECK and SHELL are Docker's; Podman drops them from its own format.
    formats = ["--format=docker"] if engine == "podman" else []
    command = [engine, "build", *formats, f"--tag={IMAGE}", *build_flags]
    if _logged([*command, str(environment.REPOSITORY)], log) != 0:
        raise KitError("CONTAINER-BUILD", "the image does not build", f"Read the end of {log}")


def _logged(command: Sequence[str], log: Path) -> int:
    """Runs `command`, its output on the terminal and in `log`; returns its exit status."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("w", encoding="utf-8") as stream,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                stream.write(line)
                stream.flush()
                console.print(line, end="", markup=False)
        except BaseException:
            process.kill()  # leaving the block would wait for it
            raise
    return process.returncode


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    dataset = arguments.data_root.resolve() / arguments.dataset
    if not dataset.is_dir():
        raise KitError(
            "CONTAINER-DATASET",
            f"{dataset} does not exist, and a container cannot make it",
            "Put it there first; `.venv/bin/python -m evaluation.data render` makes simulated ones",
        )
    # A terminated run still removes what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))

    engine = find_engine()
    logs = arguments.output / "logs"
    _build(engine, arguments.build_flags, logs / "build.log")

    allowed = limits.from_arguments(arguments, ContainerLimits)
    evaluation = arguments.output.name
    settings = {
        "AICROWD_DATASET_NAME": arguments.dataset,
        "AICROWD_EVALUATION_NAME": evaluation,
        "AICROWD_IS_GRADING": "0",  # events would need a network
        "AICROWD_OUTPUT_PATH": "/SHARED",
        "DISENTANGLEMENT_LIB_DATA": "/DATASET",
    }
    run = Run(
        engine,
        [
            *hardening(allowed),
            *_gpu_flags(engine, arguments.gpus),
            *(f"--env={name}={value}" for name, value in settings.items()),
            f"--volume={arguments.data_root.resolve()}:/DATASET:ro",
        ],
        allowed.container_seconds,
        logs,
    )
    (arguments.output / "scores.json").unlink(missing_ok=True)

    with _containers(engine, "submission", "grader") as (submission, grader):
        status = run.command(submission, ["/home/aicrowd/run.sh"], [f"{submission}:/SHARED"])
        if status != 0:
            console.print(f"The submission failed with status {status}: see {logs}.")
            return status
        _take(engine, submission, evaluation, arguments.output)
        status = run.command(
            grader,
            [
                *("python", "-m", "evaluation", "--dataset", arguments.dataset),
                *("--representation", f"/SUBMISSION/{evaluation}/representation"),
                *("--output", f"/SHARED/{evaluation}", *arguments.grader_flags),
            ],
            [f"{grader}:/SHARED", f"{submission}:/SUBMISSION:ro"],
        )
        if status == 0:
            _take(engine, grader, evaluation, arguments.output)
            console.print(f"Scores and logs are in {arguments.output}.")
        return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./local_eval.sh --docker",
        description=__doc__.splitlines()[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--gpus", metavar="WHICH", help="'all', or what Docker's --gpus takes")
    parser.add_argument("--dataset", default=environment.dataset_name(), metavar="NAME")
    parser.add_argument(
        "--data-root", type=Path, default=environment.data_root(), metavar="DIR", help="holds NAME/"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=environment.SCRATCH / "container" / environment.evaluation_name(),
        metavar="DIR",
        help="for scores.json, the representation and the logs; its last part names the evaluation",
    )
    parser.add_argument(
        "--build-flag",
        action="append",
        default=[],
        dest="build_flags",
        metavar="FLAG",
        help="given to the build as it is, as --build-flag=--build-arg=BASE_IMAGE=debian:12",
    )
    parser.add_argument(
        "--grader-flag",
        action="append",
        default=[],
        dest="grader_flags",
        metavar="FLAG",
        help="given to `python -m evaluation` as it is, as --grader-flag=--metrics=mig",
    )
    limits.add_arguments(parser, ContainerLimits)
    return parser


@contextmanager
def _containers(engine: str, *roles: str) -> Iterator[list[str]]:
    """Names for containers, each with a volume of its own name; all are removed at the end."""
    names = [f"{IMAGE}-{os.getpid()}-{role}" for role in roles]
    try:
        for name in names:
            # A volume, not a folder of ours: it takes over the owner of the image's /SHARED, and
            # leaves no files behind that only root or user 1001 could remove.
            if _quiet(engine, "volume", "create", name) != 0:
                raise KitError(
                    "CONTAINER-VOLUME", f"{engine} makes no volume {name}", f"Try {engine} info"
                )
        yield names
    finally:
        for name in names:
            _quiet(engine, "rm", "--force", name)
        for name in names:
            _quiet(engine, "volume", "rm", "--force", name)


@contextmanager
def _ended_after(seconds: float, end: Sequence[str]) -> Iterator[threading.Event]:
    """Runs the command `end` after `seconds`, if the block lasts so long, and sets the event."""
    ran_out = threading.Event()

    def stop() -> None:
        ran_out.set()
        _quiet(*end)

    timer = threading.Timer(seconds, stop)
    timer.start()
    try:
        yield ran_out
    finally:
        timer.cancel()


def _take(engine: str, container: str, evaluation: str, output: Path) -> None:
    """Copies what a container left in /SHARED/<evaluation> to `output`."""
    if _quiet(engine, "cp", f"{container}:/SHARED/{evaluation}/.", str(output)) != 0:
        raise KitError(
            "CONTAINER-RESULT",
            f"{container} left nothing in /SHARED/{evaluation}",
            f"Read its log in {output / 'logs'}",
        )


def _quiet(*command: str) -> int:
    return subprocess.run(command, capture_output=True, check=False).returncode


if __name__ == "__main__":
    run_command(main)
