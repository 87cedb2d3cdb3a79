"""The real image, built and run: `.ci/container .venv/bin/pytest -m container`.

The first build installs all packages into the image and takes minutes; later ones reuse them.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from evaluation.common.errors import KitError
from evaluation.container.__main__ import IMAGE
from evaluation.container.engine import Engine, find_engine, hardening
from evaluation.container.limits import ContainerLimits
from tests.checkouts import bundle_encoder, kit, make_checkout

pytestmark = pytest.mark.container

DATASET = "mpi3d_sim_real_mini"
BUILD_FLAGS = [
    f"--build-flag={flag}" for flag in os.environ.get("CONTAINER_BUILD_FLAGS", "").splitlines()
]


@pytest.fixture(scope="module")
def engine() -> str:
    try:
        return find_engine().name
    except KitError as error:
        pytest.skip(f"NO CONTAINER ENGINE: the image goes untested. {error}")


@pytest.fixture(scope="module")
def empty(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    """A checkout with no encoder bundled."""
    return make_checkout(tmp_path_factory.mktemp("empty"))


@pytest.fixture(scope="module")
def checkout(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    """A checkout with a small encoder bundled."""
    folder = make_checkout(tmp_path_factory.mktemp("checkout"))
    bundle_encoder(folder, tmp_path_factory.mktemp("shared"))
    return folder


@pytest.fixture(scope="module")
def image(engine: str, checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image, built as `evaluation.container` builds it."""
    flags = [flag.removeprefix("--build-flag=") for flag in BUILD_FLAGS]
    Engine(engine).build(checkout, IMAGE, flags, tmp_path_factory.mktemp("image") / "build.log")
    return IMAGE


def command(data_root: Path, output: Path, *arguments: str) -> list[str]:
    return [
        *(sys.executable, "-m", "evaluation.container", "--dataset", DATASET),
        *("--data-root", str(data_root), "--output", str(output), *BUILD_FLAGS, *arguments),
    ]


def left_behind(engine: str) -> str:
    """Names of the containers and volumes that are still there."""
    return "".join(
        subprocess.run([engine, *listing], capture_output=True, text=True, check=True).stdout
        for listing in (
            ("ps", "--all", "--format={{.Names}}", f"--filter=name={IMAGE}"),
            ("volume", "ls", "--format={{.Name}}", f"--filter=name={IMAGE}"),
        )
    )


def test_a_build_without_an_encoder_says_which_command_makes_one(
    empty: Path, data_root: Path, tmp_path: Path
) -> None:
    result = kit(empty, *command(data_root, tmp_path))
    assert result.returncode == 2
    assert "error[CONTAINER-BUILD]" in result.stderr
    log = (tmp_path / "logs/build.log").read_text()
    assert "error[BUNDLE-ABSENT]" in log and "./local_eval.sh" in log


def test_a_submission_is_built_run_and_graded(
    engine: str, checkout: Path, data_root: Path, tmp_path: Path
) -> None:
    output = tmp_path / "round-1"
    result = kit(checkout, *command(data_root, output, "--gpus", "all"))
    assert result.returncode == 0, result.stdout + result.stderr

    report = json.loads((output / "scores.json").read_text())
    names = {"factor_vae_metric", "dci", "sap_score", "mig", "irs"}
    assert set(report["scores"]) == names
    assert all(0 <= score <= 1 for score in report["scores"].values())
    manifest = json.loads((checkout / "submission/bundle/manifest.json").read_text())
    assert report["representation"]["sha256"] in manifest["sha256"].values()
    assert "disentanglement_challenge:submit" in (output / "logs/submission.log").read_text()
    assert "Metric" in (output / "logs/grader.log").read_text()
    assert (output / "submitted/representation/pytorch_model.pt").is_file()
    # The packages' layer is the one that the build without an encoder had made.
    assert "Collecting torch" not in (output / "logs/build.log").read_text()
    assert left_behind(engine) == ""


PROBE = """
import json, os, pathlib, socket

def writable(folder):
    try:
        path = pathlib.Path(folder, "probe")
        path.touch()
        path.unlink()
        return True
    except OSError:
        return False

status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({
    "user": os.getuid(),
    "network": [name for _, name in socket.if_nameindex()],
    "writable": [f for f in ("/", "/home/aicrowd", "/opt/venv", "/DATASET", "/SHARED", "/tmp")
                 if writable(f)],
    "capabilities": int(status["CapEff"], 16) | int(status["CapBnd"], 16),
    "no_new_privileges": int(status["NoNewPrivs"]),
    "compilers": [f"{folder}/{name}" for folder in os.environ["PATH"].split(":")
                  for name in ("cc", "gcc", "g++", "clang", "make")
                  if os.path.exists(f"{folder}/{name}")],
    "data": [str(path) for path in pathlib.Path("/").rglob("*.np[yz]")
             if "mpi3d" in str(path) and not str(path).startswith("/DATASET")],
    "secrets": [str(path) for path in pathlib.Path("/home/aicrowd").rglob("*")
                if path.name.startswith(".git") or path.name in ("scratch", ".venv", "tests")],
}))
"""


def test_the_container_is_shut_in_and_the_image_is_bare(
    engine: str, image: str, checkout: Path, data_root: Path
) -> None:
    flags = hardening(ContainerLimits())
    mounts = [f"--volume={data_root}:/DATASET:ro", "--volume=/SHARED"]
    result = kit(
        checkout,
        *(engine, "run", "--rm", *flags, *mounts, image, "python", "-c", PROBE),
    )
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {
        "user": 1001,
        "network": ["lo"],
        "writable": ["/SHARED", "/tmp"],
        "capabilities": 0,
        "no_new_privileges": 1,
        "compilers": [],
        "data": [],
        "secrets": [],
    }
    inspected = kit(checkout, engine, "image", "inspect", image)
    (about,) = json.loads(inspected.stdout)
    assert about["Config"]["User"] == "1001"
    assert about["Config"]["Cmd"] == ["/home/aicrowd/run.sh"]
    assert not about["Config"].get("Entrypoint")
    assert about["Config"]["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    print(f"size of the image: {about['Size'] / 1e9:.2f} GB")


def test_tests_run_inside_the_image(engine: str, checkout: Path) -> None:
    formats = ["--format=docker"] if engine == "podman" else []
    flags = [flag.removeprefix("--build-flag=") for flag in BUILD_FLAGS]
    image = f"{IMAGE}-test"
    build = [engine, "build", *formats, *flags, "--target=test", f"--tag={image}", "."]
    built = kit(checkout, *build)
    assert built.returncode == 0, built.stdout + built.stderr
    tests = ("python", "-m", "pytest", "tests/submission/test_aicrowd.py")
    result = kit(checkout, engine, "run", "--rm", "--network=none", image, *tests)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout and "skipped" not in result.stdout


def test_the_graders_exit_status_is_returned_and_its_log_kept(
    engine: str, checkout: Path, data_root: Path, tmp_path: Path
) -> None:
    result = kit(checkout, *command(data_root, tmp_path, "--grader-flag=--metrics=beauty"))
    assert result.returncode == 2
    assert "beauty" in (tmp_path / "logs/grader.log").read_text()
    assert not (tmp_path / "scores.json").exists()
    assert left_behind(engine) == ""


def test_a_submission_that_takes_too_long_is_ended(
    engine: str, checkout: Path, data_root: Path, tmp_path: Path
) -> None:
    result = kit(checkout, *command(data_root, tmp_path, "--max-container-seconds", "0.5"))
    assert result.returncode == 2
    assert "error[CONTAINER-TIME]" in result.stderr
    assert left_behind(engine) == ""


def test_a_terminated_run_leaves_nothing_behind(
    engine: str, checkout: Path, data_root: Path, tmp_path: Path
) -> None:
    with subprocess.Popen(
        command(data_root, tmp_path), cwd=checkout, stdout=subprocess.DEVNULL
    ) as process:
        while process.poll() is None and not (tmp_path / "logs/grader.log").exists():
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 128 + signal.SIGTERM
    assert (tmp_path / "logs/submission.log").read_text() != ""
    assert left_behind(engine) == ""


def test_memory_beyond_the_limit_ends_the_container(
    engine: str, image: str, checkout: Path
) -> None:
    flags = hardening(ContainerLimits(container_memory_gib=1))
    greedy = "x = bytearray(2 << 30)"
    result = kit(checkout, *(engine, "run", "--rm", *flags, image, "python", "-c", greedy))
    assert result.returncode == 137


def test_links_are_not_copied_out(engine: str, image: str, tmp_path: Path) -> None:
    made, name = tmp_path / "made", f"{image}-links"
    (made / "representation").mkdir(parents=True)
    (made / "representation" / "model.pt").write_text("model")
    (made / "logs").symlink_to(tmp_path)
    (made / "scores.json").symlink_to(tmp_path / "target")
    subprocess.run([engine, "create", "--name", name, image, "true"], check=True)
    try:
        subprocess.run([engine, "cp", made, f"{name}:/tmp/experiment"], check=True)
        Engine(engine).copy_out(name, "/tmp/experiment", tmp_path / "output")
        with pytest.raises(KitError, match="CONTAINER-RESULT"):
            Engine(engine).copy_out(name, "/tmp/nothing", tmp_path / "output")
    finally:
        subprocess.run([engine, "rm", "--force", name], check=True)
    copied = [path for path in (tmp_path / "output").rglob("*") if not path.is_dir()]
    assert copied == [tmp_path / "output" / "representation" / "model.pt"]
    assert copied[0].read_text() == "model"
