"""The commands of `python -m submission`, run for real on a config that takes seconds."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gin
import pytest
import torch

from evaluation.environment import REPOSITORY

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
    variables = {
        **os.environ,
        "AICROWD_OUTPUT_PATH": str(tmp_path / "shared"),
        "AICROWD_DATASET_NAME": "mpi3d_sim_real_mini",
        "DISENTANGLEMENT_LIB_DATA": str(data_root),
        "TORCH_HOME": str(tmp_path / "torch"),
        # One thread: the order of sums, and so the last bit, depends on their number.
        "OMP_NUM_THREADS": "1",
    }

    def start(*arguments: str | Path) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-m", "submission", *map(str, arguments)],
            cwd=REPOSITORY,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start
