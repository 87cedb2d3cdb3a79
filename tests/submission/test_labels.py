"""No training reads a label of the target: each runs where nothing but its images can be read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from evaluation.common.environment import LABELS_LINE
from submission import method, training
from submission.finetuning import run as finetuning
from submission.transfer import method as transfer
from tests.submission.transfer.test_adapting import CONFIG as ADAPTING
from tests.submission.transfer.test_further_codes import VAE
from tests.submission.unlabelled import hide_labels

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIGS = Path(training.__file__).with_name("configs")
STAGE_2 = (ADAPTING + VAE).replace(
    "adapt.", "# adapt."
) + "main.transform_class = @IdentityTransform\n"
PIXELS = f"""
include '{CONFIGS}/pixel_beta_vae.gin'
main.dataset_size = 24
main.vae_batch_size = 12
train_vae.steps = 3
"""
WHITENED = """
main.dataset_size = 64
main.use_pca = True
train_vae.epochs = 1
get_feature_extractor.model_name = 'SmallCNN'
main.transform_class = @RMACTransform
RMACTransform.config = '1-G'
"""


@pytest.mark.parametrize(
    ("path", "verbs"),
    [
        ("transfer, with further codes", ["finetune", "train", "export"]),
        ("stage 2", ["finetune", "train", "export"]),
        ("stage 1, whitened", ["train", "export"]),
        ("pixels", ["train", "export"]),
    ],
)
def test_nothing_but_images_is_read(
    path: str,
    verbs: list[str],
    run_here: Callable[..., None],
    small_config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = {
        "transfer, with further codes": ADAPTING + VAE,
        "stage 2": STAGE_2,
        "stage 1, whitened": small_config.read_text() + WHITENED,
        "pixels": PIXELS,
    }
    hide_labels(monkeypatch)
    for module in (method, training, transfer, finetuning):
        grid = module.open_dataset("mpi3d_sim_real_mini")
        with pytest.raises(AssertionError, match="was read"):
            grid.factors_of(np.arange(3))
    config = tmp_path / "path.gin"
    config.write_text(texts[path])
    for verb in verbs:
        run_here(verb, config, "x")
    run_here("export", config, "x", "--untrained")
    folders = ("representation", "representation-untrained")
    files = [tmp_path / "shared/x" / folder / "pytorch_model.pt" for folder in folders]
    assert files[0].read_bytes() != files[1].read_bytes()
    config = (tmp_path / "shared/x/config.gin").read_text()
    learned = f"{LABELS_LINE}mpi3d_sim_toy_mini, mpi3d_sim_realistic_mini\n"
    assert config.startswith(learned) is ("finetune" in verbs)
