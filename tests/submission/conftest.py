"""The commands of `python -m submission`, run for real on a config that takes seconds."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gin
import numpy as np
import pytest
import torch

from evaluation.common.devices import Placement
from evaluation.common.environment import REPOSITORY
from submission.__main__ import main
from submission.runtime import checkpoints
from submission.vae.fitting import CHECKPOINT, fit
from submission.vae.model import VAE
from submission.vae.settings import VAETraining

CPU = Placement("cpu")

SMALL = """
main.dataset_size = 300
main.sequential_dataset = False
main.vae_batch_size = 32
main.transform_class = @AverageTransform
get_feature_extractor.model_name = 'VGG11'
get_feature_extractor.stage = 2
get_feature_extractor.pretrained = False
get_feature_extractor.interpolation_size = (32, 32)
Encoder.features_per_layer = [96]  # wide enough for onednn.linear_layers
Encoder.batch_norm = True
Decoder.features_per_layer = [16]
Decoder.batch_norm = True
RegularizationLoss.use_bayes_factor_vae0_loss = True
RegularizationLoss.use_tc_loss = True
train_vae.latent_dims = 5
train_vae.epochs = 4
train_vae.optimizer_name = 'radam'
train_vae.clip_gradients = 0.5
"""


@pytest.fixture(autouse=True)
def _no_config() -> Iterator[None]:
    """gin keeps its configuration for the process."""
    gin.clear_config()
    yield
    gin.clear_config()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small networks are slower on several threads, and far slower on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def run_fit(features: np.ndarray, tmp_path: Path) -> Callable[..., tuple[VAE, list[dict]]]:
    """Trains on the `features` of the test's file; gives the VAE and the rows of the checkpoint."""

    def run(
        epochs: int = 2,
        placement: Placement = CPU,
        folder: Path = tmp_path,
        made_from: dict[str, Any] | None = None,
        **options: Any,
    ) -> tuple[VAE, list[dict]]:
        torch.manual_seed(0)
        training = VAETraining(latent_dims=3, epochs=epochs, **options)
        vae = training.build(features.shape[1:])
        fit(
            vae,
            training,
            features,
            batch_size=40,
            seed=1,
            placement=placement,
            folder=folder,
            made_from=made_from or {"name": "test"},
        )
        state = checkpoints.load(folder / CHECKPOINT, made_from or {"name": "test"})
        assert state is not None
        return vae, state["rows"]

    return run


@pytest.fixture
def resident_bytes() -> Callable[[], int]:
    """Measures the memory that this process holds."""

    def measure() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    return measure


@pytest.fixture
def small_config(tmp_path: Path) -> Path:
    path = tmp_path / "small.gin"
    path.write_text(SMALL)
    return path


@pytest.fixture
def submission(tmp_path: Path, data_root: Path) -> Callable[..., subprocess.Popen]:
    """Starts `python -m submission ARGUMENTS` with every output under `tmp_path`."""

    def start(*arguments: str | Path) -> subprocess.Popen:
        variables = {
            **os.environ,
            "AICROWD_OUTPUT_PATH": str(tmp_path / "shared"),
            "AICROWD_DATASET_NAME": "mpi3d_sim_real_mini",
            "DISENTANGLEMENT_LIB_DATA": str(data_root),
            "TORCH_HOME": str(tmp_path / "torch"),
            # One thread: the order of sums, and so the last bit, depends on their number.
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.Popen(
            [sys.executable, "-m", "submission", *map(str, arguments)],
            cwd=REPOSITORY,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def run_here(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Runs a verb with a config and an experiment in this process, as `submission` does in one."""
    monkeypatch.setenv("AICROWD_OUTPUT_PATH", str(tmp_path / "shared"))
    monkeypatch.setenv("AICROWD_DATASET_NAME", "mpi3d_sim_real_mini")
    monkeypatch.setenv("DISENTANGLEMENT_LIB_DATA", str(data_root))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    def run(verb: str, config: Path, experiment: str, *options: str) -> None:
        features = ["--features-dir", str(tmp_path / "features")]
        assert main([verb, str(config), experiment, *features, *options]) == 0

    return run
