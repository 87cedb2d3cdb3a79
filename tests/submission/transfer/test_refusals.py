"""What a config of the transfer method can have wrong: one coded line each."""

from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation.common.errors import KitError, tell
from submission.transfer import method
from tests import small_sets
from tests.submission.transfer.test_adapting import CONFIG
from tests.submission.transfer.test_further_codes import VAE

pytestmark = pytest.mark.usefixtures("one_thread")

REAL = "mpi3d_sim_real_mini"


@pytest.fixture
def refused(
    run_here: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> Callable[..., KitError]:
    """Runs a verb with changes of a small config, and returns how it is refused."""
    path = tmp_path / "transfer.gin"
    path.write_text(CONFIG + VAE + "adapt.epochs = 0\n")

    def run(verb: str, *bindings: str, target: str = REAL) -> KitError:
        monkeypatch.setenv("AICROWD_DATASET_NAME", target)
        options = [word for binding in bindings for word in ("--binding", binding)]
        with pytest.raises(KitError) as refusal:
            run_here(verb, path, "x", *options)
        capsys.readouterr()
        tell(refusal.value)
        assert capsys.readouterr().err.count("\n") == 1
        return refusal.value

    return run


@pytest.fixture
def tuned(run_here: Callable[..., None], tmp_path: Path) -> Path:
    """The config, and weights that have learned the labels of toy and realistic."""
    path = tmp_path / "tuned.gin"
    path.write_text(CONFIG + VAE + "adapt.epochs = 0\n")
    run_here("finetune", path, "x")
    return path


@pytest.mark.parametrize("verb", ["finetune", "train"])
def test_no_dataset_with_labels(refused: Callable[..., KitError], verb: str) -> None:
    assert refused(verb, "main.dataset_name = []").code == "FINETUNE-DATASETS"


@pytest.mark.parametrize("verb", ["finetune", "train"])
@pytest.mark.parametrize("target", ["mpi3d_sim_toy_mini", "mpi3d_sim_toy", "mpi3d_sim_toy_4x4"])
def test_a_target_among_the_labelled_looks(
    refused: Callable[..., KitError], verb: str, target: str
) -> None:
    assert refused(verb, target=target).code == "FINETUNE-TARGET"


def test_weights_that_have_learned_the_target(
    tuned: Path, refused: Callable[..., KitError]
) -> None:
    """The config says nothing of it: the weights' record does."""
    others = "main.dataset_name = ['mpi3d_sim_hard_mini']"
    refusal = refused("train", others, target="mpi3d_sim_toy_mini")
    assert refusal.code == "EXTRACTOR-TARGET" and "mpi3d_sim_realistic_mini" in str(refusal)
    # Stage 2 takes the same weights for its features.
    text = (CONFIG + VAE).replace("adapt.", "# adapt.")
    tuned.with_name("transfer.gin").write_text(text)
    identity = "main.transform_class = @IdentityTransform"
    assert refused("train", identity, target="mpi3d_sim_toy_mini").code == "EXTRACTOR-TARGET"


def test_a_target_with_other_factors(
    refused: Callable[..., KitError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = method.open_dataset
    with pytest.MonkeyPatch.context() as patch:
        small_sets.cut_all(patch)
        small_sets.write_shapes3d(tmp_path)
        shapes = opened("shapes3d", tmp_path)
        monkeypatch.setattr(method, "open_dataset", lambda _: shapes)
        refusal = refused("train", target="shapes3d")
    assert refusal.code == "TRANSFER-FACTORS" and "object_shape" in str(refusal)


@pytest.mark.parametrize(
    ("binding", "code"),
    [
        ("main.dataset_size = 1", "TRANSFER-IMAGES"),
        ("adapt.further_codes = 0", "CONFIG-VALUE"),
        ("adapt.further_codes = -1", "CONFIG-VALUE"),
        ("adapt.epochs = -1", "CONFIG-RANGE"),
        ("adapt.augmentation = 1e999", "CONFIG-RANGE"),
        ("train_vae.latent_dims = 0", "CONFIG-RANGE"),
        ("train_vae.latent_dims = -1", "CONFIG-RANGE"),
    ],
)
def test_values_that_cannot_be(refused: Callable[..., KitError], binding: str, code: str) -> None:
    assert refused("train", binding).code == code


def test_a_vae_that_does_not_fit_is_refused_before_the_adaptation(
    tuned: Path, refused: Callable[..., KitError], tmp_path: Path
) -> None:
    refusal = refused("train", "train_vae.encoder_class = @ConvEncoder")
    assert refusal.code == "CONFIG-IMAGES" and tuned.exists()
    assert not (tmp_path / "shared/x/adapted.pt").exists()


def test_odd_values_that_can_be(tuned: Path, run_here: Callable[..., None], tmp_path: Path) -> None:
    """One labelled look, and more latents than features."""
    few = ["main.dataset_name = ['mpi3d_sim_toy_mini']", "train_vae.latent_dims = 40"]
    run_here("train", tuned, "few", *(word for one in few for word in ("--binding", one)))
    assert (tmp_path / "shared/few/representation/pytorch_model.pt").is_file()
