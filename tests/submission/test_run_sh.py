"""run.sh as AIcrowd's evaluator starts it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.checkouts import bundle_encoder, kit, make_checkout

EVENT = 'event {"event_type": "disentanglement_challenge:'


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_checkout(tmp_path_factory.mktemp("checkout"))
    bundle_encoder(folder, tmp_path_factory.mktemp("shared"))
    return folder


def events(log: str) -> list[str]:
    return [
        line.removeprefix(EVENT).partition('"')[0]
        for line in log.splitlines()
        if line.startswith(EVENT)
    ]


def test_the_bundled_encoder_goes_where_the_evaluator_says(checkout: Path, tmp_path: Path) -> None:
    # As in a container whose GPU CUDA cannot start: a line says so, and the job goes on.
    fake = tmp_path / "bin/nvidia-smi"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho 'NVIDIA H100, 81559 MiB, 580.65.06'\n")
    fake.chmod(0o755)
    result = kit(
        checkout,
        "./run.sh",
        AICROWD_OUTPUT_PATH=str(tmp_path),
        AICROWD_EVALUATION_NAME="round 2",
        CUDA_VISIBLE_DEVICES="",
        PATH=f"{fake.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
    )
    assert result.returncode == 0, result.stderr
    assert "The GPU cannot be used, so the CPU is: " in result.stdout
    assert events(result.stdout) == ["execution_started", "submit"]
    bundled = checkout / "submission/bundle/representation/pytorch_model.pt"
    exported = tmp_path / "round 2/representation/pytorch_model.pt"
    assert exported.read_bytes() == bundled.read_bytes()


def test_it_runs_from_any_folder_and_through_a_link(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "start").symlink_to(checkout / "run.sh")
    result = kit(tmp_path, "./start", AICROWD_OUTPUT_PATH=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "experiment/representation/pytorch_model.pt").is_file()


def test_a_representation_of_another_kind_is_not_joined(checkout: Path, tmp_path: Path) -> None:
    other = tmp_path / "experiment/representation/python_model.dill"
    other.parent.mkdir(parents=True)
    other.touch()
    result = kit(checkout, "./run.sh", AICROWD_OUTPUT_PATH=str(tmp_path))
    assert result.returncode == 2
    assert "error[REPRESENTATION-OTHERS]" in result.stderr
    assert f"rm -r {other}" in result.stderr
    assert list(other.parent.iterdir()) == [other]


def test_a_spoiled_bundle_is_an_event_and_a_failure(checkout: Path, tmp_path: Path) -> None:
    config = checkout / "submission/bundle/config.gin"
    kept = config.read_bytes()
    config.write_bytes(b"main.seed = 2\n")
    try:
        result = kit(checkout, "./run.sh", AICROWD_OUTPUT_PATH=str(tmp_path))
    finally:
        config.write_bytes(kept)
    assert result.returncode == 2
    assert "error[BUNDLE-DIFFERS]" in result.stderr
    assert events(result.stdout) == ["execution_started", "execution_error"]
    assert not (tmp_path / "experiment").exists()


TINY = """
include '{configs}/stage2_quick.gin'
main.dataset_name = 'mpi3d_sim_toy_mini'
main.dataset_size = 256
get_feature_extractor.stage = 1
get_feature_extractor.interpolation_size = (32, 32)
AggregatedFeatureExtractor.features = [16, 16, 16]
AggregatedFeatureExtractor.strides = [4, 2, 2]
train.epochs = 1
train_vae.epochs = 1
train_vae.latent_dims = 4
"""


@pytest.fixture
def tiny(checkout: Path, tmp_path: Path) -> Path:
    """A config that is trained in seconds."""
    path = tmp_path / "tiny.gin"
    path.write_text(TINY.format(configs=checkout / "submission/configs"), encoding="utf-8")
    return path


def settings(tmp_path: Path, data_root: Path) -> dict[str, str]:
    return {
        "AICROWD_DATASET_NAME": "mpi3d_sim_real_mini",
        "AICROWD_OUTPUT_PATH": str(tmp_path / "shared"),
        "DISENTANGLEMENT_LIB_DATA": str(data_root),
        "TORCH_HOME": str(tmp_path / "torch"),
    }


def test_with_a_config_it_trains_exports_and_grades(
    checkout: Path, tiny: Path, tmp_path: Path, data_root: Path
) -> None:
    flags = ("--features-dir", str(tmp_path / "features"))
    result = kit(checkout, "./run.sh", str(tiny), "tiny", *flags, **settings(tmp_path, data_root))
    assert result.returncode == 0, result.stdout + result.stderr
    sent = events(result.stdout)
    assert (sent[0], sent[-1]) == ("execution_started", "submit")
    assert set(sent[1:-1]) == {"register_progress"}
    report = json.loads((tmp_path / "shared/tiny/scores.json").read_text())
    assert report["representation"]["dim"] == 4
    assert (tmp_path / "shared/tiny/representation/pytorch_model.pt").is_file()
    assert list((tmp_path / "features").glob("*/features.npy"))


def test_a_signal_ends_training_at_once_and_is_told(
    checkout: Path, tiny: Path, tmp_path: Path, data_root: Path
) -> None:
    tiny.write_text(tiny.read_text() + "train_vae.epochs = 100000\ntrain.epochs = 100000\n")
    environment = {**os.environ, **settings(tmp_path, data_root), "AICROWD_IS_GRADING": "0"}
    log = tmp_path / "log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            ["./run.sh", str(tiny), "tiny"],
            cwd=checkout,
            env={**environment, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            stdout=stream,
            start_new_session=True,
        )
        while not (tmp_path / "shared/tiny").exists() and process.poll() is None:
            time.sleep(0.1)
        process.terminate()
        assert process.wait(timeout=30) == 128 + signal.SIGTERM
    assert events(log.read_text())[-1] == "execution_error"
    with pytest.raises(ProcessLookupError):  # nothing of it is left
        os.killpg(process.pid, 0)


def test_one_argument_is_refused(checkout: Path) -> None:
    result = kit(checkout, "./run.sh", "submission/configs/quick.gin")
    assert result.returncode == 2
    assert "error[USAGE]" in result.stderr
