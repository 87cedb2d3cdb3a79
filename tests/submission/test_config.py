"""Every name of SPEC's section 2 is accepted, and the shipped configs hold the reported values."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import gin
import pytest

from evaluation.common import gin_config
from evaluation.common.environment import REPOSITORY
from evaluation.common.errors import KitError
from evaluation.common.gin_sources import stand_ins
from evaluation.common.gin_types import describe
from submission import config
from submission.features.aggregation import RMACTransform
from submission.settings import Main

CONFIGS = REPOSITORY / "submission" / "configs"

EVERY_NAME = """
main.dataset_size = 100
main.sequential_dataset = True
main.vae_batch_size = 256
main.use_pca = True
main.cache_features_on_disk = False
main.transform_class = @RMACTransform
main.seed = 3
main.dataset_name = ['mpi3d_toy', 'mpi3d_realistic']
main.batch_size = 512
main.test_ratio = 0.2
get_feature_extractor.model_name = 'ResNeXt-101'
get_feature_extractor.interpolation_size = (64, 64)
get_feature_extractor.stage = 3
get_feature_extractor.pretrained = False
get_feature_extractor.custom_model_id = 'mine'
AggregatedFeatureExtractor.features = [1024, 2048, 512]
AggregatedFeatureExtractor.kernel_sizes = [1, 2, 1]
AggregatedFeatureExtractor.strides = [1, 1, 1]
AggregatedFeatureExtractor.paddings = [0, 0, 0]
AggregatedFeatureExtractor.dropout = 0
AggregatedFeatureExtractor.l2_normalize = True
AggregatedFeatureExtractor.pooling = 'avg'
AggregatedFeatureExtractor.model_id = 'a'
IdentityTransform.l2_normalize = True
AverageTransform.l2_normalize = False
MaximumTransform.l2_normalize = False
RMACTransform.l2_normalize = False
RMACTransform.config = '1-2-G'
Encoder.features_per_layer = [256, 128]
Encoder.batch_norm = True
Encoder.dropout = 0.5
Encoder.init = 'orthogonal'
Decoder.features_per_layer = [256, 128]
Decoder.batch_norm = True
Decoder.dropout = 0
Decoder.init = 'default'
Decoder.likelihood_class = @GaussianLikelihood2d
GaussianLikelihood.scale_mean_zero_one = False
GaussianLikelihood.scale_loss_by_batch = False
GaussianLikelihood.scale_loss_by_dims = True
GaussianLikelihood2d.scale_mean_zero_one = False
GaussianLikelihood2d.scale_loss_by_batch = False
GaussianLikelihood2d.scale_loss_by_dims = True
RegularizationLoss.scale_by_batch = False
RegularizationLoss.use_bayes_factor_vae0_loss = True
RegularizationLoss.use_tc_loss = True
get_representation_extractor.top_n_variance_dims = 10
train_vae.lr = 1
train_vae.schedule_lr = True
train_vae.latent_dims = 18
train_vae.epochs = 20
train_vae.optimizer_name = 'rmsprop'
train_vae.adam_beta1 = 0.9
train_vae.loss_weights = {'TC': 2, 'MSE': 0.5}
train_vae.clip_gradients = 1.0
train_vae.encoder_class = @Encoder
train_vae.decoder_class = @Decoder
train_vae.schedule_classes = {'TC': @BetaSchedule}
train_vae.beta_schedule_class = @BetaSchedule
BetaSchedule.schedule_type = 'cosine-restarts'
BetaSchedule.beta0 = 0
BetaSchedule.beta1 = 0.4
BetaSchedule.beta_start = 10
BetaSchedule.beta_end = 79
BetaSchedule.cycles = 3
LRSchedule.lr = 0.1
LRSchedule.warmup_lr = 0.01
LRSchedule.warmup_epochs = 2
train.epochs = 5
train.optimizer_name = 'radam'
train.lr = 1e-3
train.weight_decay = 0.01
train.unfreeze_extractor_epoch = 0
train.extractor_lr = 1e-3
train.log_interval = 50
get_eval_metrics.metrics = ['dci', 'mig']
"""

FINE_TUNING = {
    "main.dataset_name": ["mpi3d_toy", "mpi3d_realistic"],
    "main.batch_size": 512,
    "main.test_ratio": 0.2,
    "main.seed": 1,
    "get_feature_extractor.model_name": "VGG19",
    "get_feature_extractor.interpolation_size": (64, 64),
    "AggregatedFeatureExtractor.features": [1024, 2048, 512],
    "AggregatedFeatureExtractor.kernel_sizes": [1, 2, 1],
    "AggregatedFeatureExtractor.strides": [1, 1, 1],
    "AggregatedFeatureExtractor.paddings": [0, 0, 0],
    "AggregatedFeatureExtractor.dropout": 0.1,
    "AggregatedFeatureExtractor.l2_normalize": True,
    "train.epochs": 5,
    "train.optimizer_name": "radam",
    "train.lr": 1e-3,
    "train.weight_decay": 0.01,
    "train.unfreeze_extractor_epoch": 0,
    "train.extractor_lr": 1e-3,
}
STAGE_1 = {
    "get_feature_extractor.model_name": "VGG19",
    "get_feature_extractor.interpolation_size": (224, 224),
    "RMACTransform.config": "1-3-5-G",
    "Encoder.features_per_layer": [256, 128, 64],
    "Encoder.batch_norm": True,
    "Decoder.features_per_layer": [64, 128, 256],
    "Decoder.batch_norm": True,
    "GaussianLikelihood.scale_mean_zero_one": False,
    "GaussianLikelihood.scale_loss_by_batch": False,
    "RegularizationLoss.scale_by_batch": False,
    "train_vae.latent_dims": 18,
    "train_vae.optimizer_name": "adam",
    "train_vae.lr": 1e-3,
    "train_vae.adam_beta1": 0.5,
    "train_vae.epochs": 20,
    "main.vae_batch_size": 256,
    "main.seed": 1,
    "BetaSchedule.schedule_type": "cosine",
    "BetaSchedule.beta0": 0.0001,
    "BetaSchedule.beta1": 0.12,
    "BetaSchedule.beta_start": 1,
    "BetaSchedule.beta_end": 19,
}
STAGE_2 = {
    "get_feature_extractor.model_name": "AggVGG19",
    "get_feature_extractor.interpolation_size": (64, 64),
    "Encoder.features_per_layer": [4096],
    "Encoder.init": "orthogonal",
    "Encoder.batch_norm": True,
    "Decoder.features_per_layer": [4096, 4096, 4096, 4096],
    "Decoder.init": "default",
    "Decoder.batch_norm": True,
    "GaussianLikelihood.scale_mean_zero_one": True,
    "GaussianLikelihood.scale_loss_by_batch": True,
    "RegularizationLoss.scale_by_batch": True,
    "train_vae.latent_dims": 18,
    "train_vae.optimizer_name": "radam",
    "train_vae.lr": 1e-3,
    "train_vae.adam_beta1": 0.9,
    "train_vae.epochs": 120,
    "main.vae_batch_size": 256,
    "main.seed": 1,
    "BetaSchedule.schedule_type": "cosine",
    "BetaSchedule.beta0": 0.005,
    "BetaSchedule.beta1": 0.4,
    "BetaSchedule.beta_start": 10,
    "BetaSchedule.beta_end": 79,
}


def test_every_name_of_the_original_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "every.gin"
    path.write_text(EVERY_NAME)
    config.load(path)
    for line in EVERY_NAME.strip().splitlines():
        assert repr(gin.query_parameter(line.split(" = ")[0])) == repr(
            gin.config.parse_value(line.split(" = ")[1])
        )


@pytest.mark.parametrize(
    ("name", "reported"),
    [("stage2_finetuning", FINE_TUNING), ("stage1", STAGE_1), ("stage2_vae", STAGE_2)],
)
def test_the_shipped_configs_hold_the_reported_values(name: str, reported: dict[str, Any]) -> None:
    config.load(CONFIGS / f"{name}.gin")
    assert {key: gin.query_parameter(key) for key in reported} == reported


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.gin")), ids=lambda path: path.stem)
def test_every_shipped_config_loads(path: Path) -> None:
    config.load(path)


def test_main_serves_both_steps(tmp_path: Path) -> None:
    path = tmp_path / "a.gin"
    path.write_text("main.transform_class = @RMACTransform\nmain.dataset_name = 'mpi3d_toy'\n")
    config.load(path)
    assert issubclass(Main().transform_class, RMACTransform)
    assert Main().dataset_name == "mpi3d_toy"
    assert Main().vae_batch_size == 64


@pytest.mark.parametrize(
    "binding",
    [
        "main.batch_size = 1",
        "main.vae_batch_size = 0",
        "main.test_ratio = 1.0",
        "main.dataset_size = -1",
        "train.epochs = 0",
        "train.log_interval = 0",
        "train.lr = -1e-3",
        "train_vae.epochs = -1",
        "train_vae.latent_dims = 0",
        "train_vae.adam_beta1 = 1",
        "train_vae.clip_gradients = -1",
    ],
)
def test_a_value_out_of_range_is_refused(binding: str) -> None:
    name, value = binding.split(" = ")
    with pytest.raises(KitError, match=rf"CONFIG-RANGE.*'{name}' is {float(value):g}\b.*at least"):
        config.load(CONFIGS / "quick.gin", [binding])


def test_a_misspelt_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.gin"
    path.write_text("train_vae.latent_dim = 18\n")
    with pytest.raises(KitError, match=r"a\.gin:1.*'train_vae.latent_dims'"):
        config.load(path)


def kinds_by_name() -> dict[str, str]:
    return {name: describe(kind) for name, kind in gin_config._kinds().items()}


def test_the_sources_describe_what_is_imported() -> None:
    """The same names and kinds, base classes included, with and without importing the package."""
    config.load(CONFIGS / "quick.gin")
    with stand_ins("submission"):
        described = kinds_by_name()
    imported = kinds_by_name()
    names = {name.partition(".")[0] for name in described}
    assert {"main", "train", "train_vae", "RMACTransform", "get_feature_extractor"} <= names
    assert described == {
        name: kind for name, kind in imported.items() if name.partition(".")[0] in names
    }
    assert "@RMACTransform" in described["main.transform_class"]


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("train_vae.epoch = 3", ["CONFIG-NAME", "'train_vae.epochs'"]),
        ("train_vae.epochs = 'three'", ["CONFIG-VALUE", "a whole number"]),
        ("train_vae.epochs = 0", ["CONFIG-RANGE", "at least 1"]),
        ("main.test_ratio = 1.0", ["CONFIG-RANGE", "at least 0 and below 1"]),
        ("main.transform_class = @RMACTransfrom", ["CONFIG-NAME", "'@RMACTransform'"]),
        ("main.transform_class = @Encoder", ["CONFIG-VALUE", "one of @", "@AverageTransform"]),
        ("train.optimizer_name = 'adm'", ["CONFIG-VALUE", "nearest: 'adam'"]),
        ("main.dataset_name = 'mpi3d_toi'", ["CONFIG-VALUE", "nearest: 'mpi3d_toy'"]),
        ("main.dataset_name = ['mpi3d_sim_reel']", ["CONFIG-VALUE", "'mpi3d_sim_real'"]),
    ],
)
def test_a_mistake_is_told_before_torch_is_imported(
    line: str, parts: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "a.gin"
    path.write_text(f"# a comment\n{line}\n")
    imports, message = mistaken(str(path))
    for part in (f"{path}:2", *parts):
        assert part in message
    assert message.count("\n") == 1 and message.startswith("error[")
    assert not {"torch", "torchvision", "sklearn", "numba", "tensorflow"} & imports


def test_a_misspelt_dataset_of_the_environment_is_told_before_torch_is_imported() -> None:
    imports, message = mistaken(
        str(CONFIGS / "quick.gin"), AICROWD_DATASET_NAME="mpi3d_sim_real_mimi"
    )
    assert "mpi3d_sim_real_mimi" in message and message.count("\n") == 1
    assert "torch" not in imports


def mistaken(config_path: str, **environment: str) -> tuple[set[str], str]:
    """Trains with a config that is refused: the top-level packages imported, and the message."""
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "submission", "train", config_path, "x"],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2, result.stderr
    lines = result.stderr.splitlines(keepends=True)
    imported = [line.rpartition("|")[2].strip() for line in lines if line.startswith("import time")]
    message = "".join(line for line in lines if not line.startswith("import time"))
    return {name.partition(".")[0] for name in imported}, message


def test_a_module_of_the_users_own_may_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_transforms.py").write_text(
        "import gin\n"
        "from submission.features.aggregation import FeatureTransform\n\n\n"
        "@gin.configurable\n"
        "class OwnTransform(FeatureTransform):\n"
        "    def transform(self, maps):\n"
        "        return maps\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "a.gin"
    path.write_text("import own_transforms\nmain.transform_class = @OwnTransform\n")
    config.load(path)
    assert Main().transform_class.__name__ == "OwnTransform"
    path.write_text("import own_transforms\nmain.transform_class = @OwnTransfrom\n")
    with pytest.raises(KitError, match=r"a\.gin:2.*'@OwnTransform'"):
        config.load(path)
