"""A baseline on pixels from its config to its codes, and through an interruption."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gin
import numpy as np
import pytest
import torch

from evaluation.common.devices import Placement
from evaluation.common.environment import REPOSITORY
from evaluation.data.ground_truth import ImageGrid
from submission.__main__ import main
from submission.features.pixels import Pixels, PixelTable
from submission.vae.convolutions import ConvDecoder, ConvEncoder
from submission.vae.fitting import CHECKPOINT, fit
from submission.vae.settings import VAETraining

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning"),
]

CONFIG = REPOSITORY / "submission" / "configs" / "pixel_factor_vae.gin"


class Interrupted(PixelTable):
    """Raises KeyboardInterrupt when more than so many batches are read."""

    left = 10

    def __getitem__(self, rows: Any) -> np.ndarray:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return super().__getitem__(rows)


@pytest.fixture
def run_pixels(tmp_path: Path) -> Callable[..., tuple[str, bytes]]:
    """Trains on small images of noise, with every loss that has a state of its own."""
    images = np.random.RandomState(0).randint(0, 256, (24, 16, 16, 3), np.uint8)
    dataset = ImageGrid("noise", images, (4, 6), ("color", "shape"), fingerprint="0")
    gin.bind_parameter("RegularizationLoss.use_tc_loss", True)
    gin.bind_parameter("RegularizationLoss.tc_estimator", "discriminator")
    gin.bind_parameter("RegularizationLoss.capacity", 5.0)
    gin.bind_parameter("RegularizationLoss.capacity_steps", 8)
    gin.bind_parameter("Discriminator.features_per_layer", [16, 16])

    def run(name: str, table_class: type[PixelTable] = PixelTable) -> tuple[str, bytes]:
        torch.manual_seed(0)
        training = VAETraining(
            latent_dims=3, steps=14, encoder_class=ConvEncoder, decoder_class=ConvDecoder
        )
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        fit(
            training.build((3, 16, 16)),
            training,
            table_class(dataset, np.arange(24), Pixels((16, 16))),
            batch_size=6,
            seed=1,
            placement=Placement("cpu"),
            folder=folder,
            made_from={"name": "test"},
        )
        # Of all weights, moments and losses. The file's bytes show, too, which objects were one.
        digest = torch.load(folder / CHECKPOINT, weights_only=True)["sha256"]
        return digest, (folder / "stats.csv").read_bytes()

    return run


def test_an_interruption_changes_no_bit(
    run_pixels: Callable[..., tuple[str, bytes]], capsys: pytest.CaptureFixture
) -> None:
    """The discriminator, its optimiser and the capacity's steps go on where they were."""
    whole = run_pixels("whole")
    with pytest.raises(KeyboardInterrupt):
        run_pixels("interrupted", Interrupted)
    assert run_pixels("interrupted") == whole
    assert "Reusing 2 of 4 epochs" in capsys.readouterr().out


def test_from_the_config_to_codes(
    tmp_path: Path, data_root: Path, mini: ImageGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AICROWD_OUTPUT_PATH", str(tmp_path))
    monkeypatch.setenv("AICROWD_DATASET_NAME", "mpi3d_sim_real_mini")
    monkeypatch.setenv("DISENTANGLEMENT_LIB_DATA", str(data_root))
    bindings = ["main.dataset_size = 24", "main.vae_batch_size = 12", "train_vae.steps = 3"]
    bindings += ["Discriminator.features_per_layer = [16]", "train_vae.lr = 0.01"]
    options = [part for binding in bindings for part in ("--binding", binding)]
    exported = tmp_path / "x" / "representation" / "pytorch_model.pt"
    features = ["--features-dir", str(tmp_path / "features")]
    assert main(["train", str(CONFIG), "x", *features, *options]) == 0
    assert not (tmp_path / "features").exists(), "pixels are no table on disk"
    assert (tmp_path / "x" / "reconstructions.json").exists()

    images = torch.from_numpy(mini.observations_at(np.arange(24))).permute(0, 3, 1, 2)
    codes = torch.jit.load(exported)(images)
    encoder = ConvEncoder((3, 64, 64), 10)
    state = torch.load(tmp_path / "x" / CHECKPOINT, weights_only=True)["vae"]
    own = {name.removeprefix("encoder."): w for name, w in state.items() if "encoder." in name}
    encoder.load_state_dict(own)
    torch.testing.assert_close(codes, encoder(images)[0])

    ica = ["--binding", "postprocess.method = 'ica'"]
    assert main(["export", str(CONFIG), "x", *features, *options, *ica]) == 0
    independent = torch.jit.load(exported)(images)
    np.testing.assert_allclose(
        np.cov(independent.detach().numpy().T, ddof=0), np.eye(10), atol=1e-2
    )
