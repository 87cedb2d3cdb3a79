"""Processes that are forked from one that has imported everything: a command starts at once.

They are real processes with real signals. Only the seconds of importing torch are left out, so a
signal at a random moment meets the command's own work.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing import forkserver
from pathlib import Path
from typing import NamedTuple

PRELOADED = [
    "evaluation.__main__",
    "submission.__main__",
    "submission.training",
    "submission.finetuning.run",
    "submission.delivery.packaging",
    "torch.utils.tensorboard",
    "evaluation.data.simulated.rendering",
]

Task = Callable[[Path], None]
"""What a process runs: a function of a module, called with the folder that it works in."""


class Ended(NamedTuple):
    """How a process ended."""

    status: int
    """Exit status, or minus the signal's number."""
    output: str
    errors: str


class Process:
    """A running task.

    Args:
        task: What it runs; it ends by `sys.exit`, as `errors.run_command` does.
        folder: What the task is called with.
        environment: Variables beyond those of this process.
        logs: Folder for its standard output and error.
    """

    def __init__(self, task: Task, folder: Path, environment: dict[str, str], logs: Path) -> None:
        self._output, self._errors = logs / "output.txt", logs / "errors.txt"
        _start_server()
        context = multiprocessing.get_context("forkserver")
        self._process = context.Process(
            target=_run, args=(task, folder, environment, self._output, self._errors)
        )
        self.started = time.monotonic()
        self._process.start()

    def send(self, number: int) -> None:
        while self._process.is_alive() and not self._errors.exists():
            time.sleep(0.001)  # it is not the task yet
        if self._process.pid is not None and self._process.is_alive():
            os.kill(self._process.pid, number)

    def wait(self, seconds: float = 600) -> Ended:
        self._process.join(seconds)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
            raise TimeoutError(f"still running after {seconds:g} s: {self._errors.read_text()}")
        texts = [path.read_text() if path.exists() else "" for path in (self._output, self._errors)]
        return Ended(self._process.exitcode or 0, *texts)


def run(task: Task, folder: Path, environment: dict[str, str], logs: Path) -> Ended:
    return Process(task, folder, environment, logs).wait()


def command(module: str, arguments: Sequence[str | Path]) -> None:
    """Runs `python -m MODULE ARGUMENTS` in this process, to its exit."""
    import importlib

    from evaluation.common.errors import run_command

    main = importlib.import_module(f"{module}.__main__").main
    run_command(lambda _: main([str(argument) for argument in arguments]))


def _start_server() -> None:
    # One thread: the order of sums, and so the last bit, depends on their number.
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    forkserver.set_forkserver_preload(PRELOADED)
    forkserver.ensure_running()
    if before is None:
        del os.environ["OMP_NUM_THREADS"]
    else:
        os.environ["OMP_NUM_THREADS"] = before


def _run(task: Task, folder: Path, environment: dict[str, str], output: Path, errors: Path) -> None:
    import torch

    os.environ.update(environment)
    torch.set_num_threads(1)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for path, descriptor in ((output, 1), (errors, 2)):
            with path.open("wb") as stream:
                os.dup2(stream.fileno(), descriptor)
        task(folder)
    except KeyboardInterrupt:  # before the command, or after it
        sys.exit(128 + signal.SIGINT)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
