"""Faults while a representation is made: fine-tuning, extraction, the VAE, export, the bundle."""

import os
import random
import signal
import subprocess
from functools import partial
from pathlib import Path

import pytest

from evaluation.common.errors import run_command
from tests.faults.harness import DAMAGES, ROUNDS, SIGNALS, Campaign, Disk, Phase, moments, pairs
from tests.faults.processes import command

pytestmark = pytest.mark.faults

CONFIG = """
main.dataset_name = 'mpi3d_sim_toy_mini'
main.dataset_size = 400
finetune/main.dataset_size = 64
main.batch_size = 16
main.vae_batch_size = 64
main.transform_class = @RMACTransform
RMACTransform.config = '1-G'
get_feature_extractor.pretrained = False
get_feature_extractor.interpolation_size = (16, 16)
get_feature_extractor.stage = 1
AggregatedFeatureExtractor.features = [8]
AggregatedFeatureExtractor.kernel_sizes = [4]
AggregatedFeatureExtractor.strides = [1]
AggregatedFeatureExtractor.paddings = [0]
train.epochs = 3
Encoder.features_per_layer = [32]
Encoder.batch_norm = True
Encoder.dropout = 0.1
Decoder.features_per_layer = [32]
train_vae.latent_dims = 4
train_vae.epochs = 6
"""
TUNED = "get_feature_extractor.model_name = 'AggResNet-50'"
TRANSFORMED = "main.transform_class = @IdentityTransform"
WHITENED = (
    "get_feature_extractor.model_name = 'ResNet-50'",
    "main.use_pca = True",
    "main.dataset_size = 60",
)


def prepare(folder: Path) -> None:
    (folder / "config.gin").write_text(CONFIG)
    root = folder / "checkout"
    (root / "submission").mkdir(parents=True)
    (root / "run.sh").write_text("#!/bin/sh\n")
    for arguments in (["init", "--quiet"], ["add", "run.sh"]):
        subprocess.run(["git", "-C", root, *arguments], check=True, capture_output=True)


def verb(folder: Path, name: str, bindings: tuple[str, ...]) -> None:
    options = [part for binding in bindings for part in ("--binding", binding)]
    features = ["--features-dir", folder / "features"]
    command(
        "submission", [name, folder / "config.gin", "x", *features, "--device", "cpu", *options]
    )


def bundle(folder: Path, experiment: str) -> None:
    from submission.delivery import bundle, packaging

    def make_and_package(_: object) -> int:
        bundle.make(folder / "checkout", experiment)
        packaging.package(folder / "checkout", folder / "submission.tar.gz")
        return 0

    run_command(make_and_package)


def phase(
    name: str, verb_name: str, results: tuple[str, ...], after: str | None = None, *more: str
):
    bindings = (TUNED, TRANSFORMED, *more)
    other = (*bindings, "main.seed = 2")
    return Phase(
        name,
        partial(verb, name=verb_name, bindings=bindings),
        results,
        partial(verb, name=verb_name, bindings=other),
        after,
    )


EXPORTED = "shared/x/representation/pytorch_model.pt"
# A checkpoint is pickled otherwise after a resumption; its weights are those of the export.
TRAINED = ("features/*/features.npy", "shared/x/stats.csv", EXPORTED)
PHASES = [
    phase("finetuning", "finetune", ("torch/*", "shared/x/finetuning/stats.csv")),
    phase("extraction", "train", TRAINED, "finetuning", "main.dataset_size = 1500"),
    Phase(
        "whitening",
        partial(verb, name="train", bindings=WHITENED),
        ("features/*/whitening.npz", *TRAINED),
        partial(verb, name="train", bindings=(*WHITENED, "main.seed = 2")),
    ),
    phase("vae", "train", TRAINED, "features"),
    phase("features", "train", TRAINED, "finetuning", "train_vae.epochs = 1"),
    phase("export", "export", (EXPORTED,), "vae"),
    Phase(
        "bundle",
        partial(bundle, experiment="x"),
        ("checkout/submission/bundle/**/*.*", "submission.tar.gz"),
        partial(bundle, experiment="x"),
        "vae",
    ),
]
NAMES = [each.name for each in PHASES if each.name != "features"]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Campaign:
    def environment(folder: Path) -> dict[str, str]:
        return {
            "AICROWD_OUTPUT_PATH": str(folder / "shared"),
            "AICROWD_DATASET_NAME": "mpi3d_sim_real_mini",
            "DISENTANGLEMENT_LIB_DATA": str(data_root),
            "TORCH_HOME": str(folder / "torch"),
        }

    return Campaign(tmp_path_factory.mktemp("faults"), PHASES, prepare, environment)


@pytest.mark.parametrize(("name", "number"), pairs(NAMES, SIGNALS))
def test_a_signal(campaign: Campaign, name: str, number: signal.Signals, tmp_path: Path) -> None:
    for moment in moments(name, number):
        folder = campaign.before(name, tmp_path / "world")
        campaign.interrupt(name, folder, number, moment)
        campaign.expect_undisturbed(name, folder, f"{number.name}, at {moment:.3f}")


@pytest.mark.parametrize(("name", "fault"), pairs(NAMES, ["full disk"]))
def test_a_full_disk(campaign: Campaign, name: str, fault: str, disk: Disk) -> None:
    for part in moments(name, fault):
        campaign.fill_disk(name, disk, part)


@pytest.mark.parametrize(("name", "damage"), pairs(NAMES, DAMAGES))
def test_a_damaged_file(campaign: Campaign, name: str, damage: str, tmp_path: Path) -> None:
    """Every file that a phase writes in the full campaign, else two of them."""
    written = campaign.undisturbed(name).written
    if ROUNDS == 0:
        written = random.Random(name + damage).sample(written, min(2, len(written)))
    for path in written:
        campaign.damage(name, tmp_path / "world", path, damage)


@pytest.mark.parametrize(("name", "fault"), pairs(NAMES, ["two runs"]))
def test_two_runs_at_once(campaign: Campaign, name: str, fault: str, tmp_path: Path) -> None:
    """In one folder."""
    assert fault
    campaign.twice(name, campaign.before(name, tmp_path / "world"))


@pytest.mark.parametrize(("name", "seconds"), pairs(NAMES, [0, 4_000_000_000]))
def test_the_clock_was_set(campaign: Campaign, name: str, seconds: int, tmp_path: Path) -> None:
    """Files that seem to be of long ago, or of the future."""
    folder = campaign.before(name, tmp_path / "world")
    campaign.expect_undisturbed(name, folder, "clock set")
    for path in folder.rglob("*"):
        os.utime(path, (seconds, seconds))
    campaign.expect_undisturbed(name, folder, "clock set")
