"""Packages, programs, the sandbox and the data: what a feature needs beside Python and PyTorch."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import closing
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from evaluation.common import environment
from evaluation.common.errors import KitError
from evaluation.container.engine import find_engine
from evaluation.data import DATASETS
from evaluation.doctor.finding import Finding

_PACKAGES = {
    "torchvision": ("torchvision", "training"),
    "disentanglement_lib": ("disentanglement-lib", "--verify and --engine disentanglement_lib"),
    "tensorflow": ("tensorflow", "grading of SavedModels, and the reference engine"),
    "dill": ("dill", "grading of dill files"),
    "aicrowd_api": ("aicrowd-api", "events to AIcrowd"),
    "matplotlib": ("matplotlib", "report.html"),
}
"""Module -> package, and the features that need it."""

_SETUP = "Run ./local_eval.sh setup"
_SECONDS = 20.0

_SHUT_IN = """
import json, os, sys
from pathlib import Path
from evaluation.representation import sandbox
said = os.dup(1)
work = Path(sys.argv[1])
missing = sandbox.enter(work, work, "cpu", os.getppid(), capped=False)
os.write(said, json.dumps(missing).encode())
"""


def packages() -> list[Finding]:
    return [_package(module, *about) for module, about in _PACKAGES.items()]


def _package(module: str, name: str, feature: str) -> Finding:
    try:
        found = version(name) if find_spec(module) else None
    except PackageNotFoundError:
        found = "a version that its files do not tell"
    if found is None:
        return Finding("Packages", name, "not installed", "absent", feature, _SETUP)
    return Finding("Packages", name, found)


def programs() -> list[Finding]:
    lfs = "Git LFS", "git-lfs", "submission of encoders above 5 MB", "git-lfs"
    compiler = "C++ compiler", "g++", "compiled training steps on a CPU", "g++ python3-dev"
    return [*(_program(*each) for each in (lfs, compiler)), redis()]


def container_engine() -> Finding:
    try:
        return Finding("Programs", "Container engine", find_engine().name)
    except KitError as error:
        return Finding(
            "Programs",
            "Container engine",
            "none answers",
            "absent",
            "./local_eval.sh --docker",
            f"{error.remedy}; as root on Debian: apt-get install podman",
        )


def _program(name: str, command: str, feature: str, package: str) -> Finding:
    path = shutil.which(command)
    if path is None:
        remedy = f"As root: apt-get install {package}"
        return Finding("Programs", name, "not found", "absent", feature, remedy)
    return Finding("Programs", name, path)


def redis() -> Finding:
    """The server that AIcrowd's events go to, if one is named; else whether tests can start one."""
    host = os.environ.get("AICROWD_REDIS_HOST")
    if host is None:
        return _program("Redis", "redis-server", "tests of AIcrowd's events", "redis-server")
    port = os.environ.get("AICROWD_REDIS_PORT", "6379")
    address = f"{host}:{port}"
    try:
        with closing(socket.create_connection((host, int(port)), timeout=1.0)):
            return Finding("Programs", "Redis", f"{address} answers")
    except (OSError, ValueError) as error:
        return Finding(
            "Programs",
            "Redis",
            f"{address}: {error}",
            "broken" if environment.is_grading() else "absent",
            "events to AIcrowd",
            "Start the server, or correct AICROWD_REDIS_HOST and AICROWD_REDIS_PORT",
        )


def sandbox() -> Finding:
    """The layers that keep a representation from this machine, tried in a process of its own."""
    with tempfile.TemporaryDirectory() as work:
        tried = subprocess.run(
            [sys.executable, "-c", _SHUT_IN, work],
            cwd=environment.REPOSITORY,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    try:
        missing: list[str] = json.loads(tried.stdout)
    except ValueError:
        missing = ["it does not start"]
    if not missing:
        return Finding("Grading", "Sandbox", "all layers")
    return Finding(
        "Grading",
        "Sandbox",
        "; ".join(missing),
        "absent",
        "--strict, and full isolation of what is graded",
        "Use Linux 6.12 or later, with user namespaces and Landlock",
    )


def data(root: Path | None = None) -> Finding:
    """The datasets that lie in the data root."""
    root = root or environment.data_root()
    there = [name for name in DATASETS if (root / name).is_dir() and any((root / name).iterdir())]
    if there:
        return Finding("Data", "Datasets", f"{', '.join(there)} in {root}")
    return Finding(
        "Data",
        "Datasets",
        f"none in {root}",
        "absent",
        "grading on MPI3D itself; simulated sets are rendered at first use",
        "Run .venv/bin/python -m evaluation.data download mpi3d_real",
    )
