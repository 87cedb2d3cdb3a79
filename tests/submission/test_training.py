"""Training: against a plain loop, through a SIGKILL, and what it leaves in its folder."""

import csv
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import gin
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from evaluation.common.devices import Placement, Precision
from submission import config
from submission.method import prepare
from submission.runtime import precision
from submission.runtime.optimizers import FusedRAdam, make_optimizer
from submission.vae import fitting
from submission.vae.fitting import CHECKPOINT, batches, fit
from submission.vae.rows import Rows
from submission.vae.schedules import BetaSchedule
from submission.vae.settings import VAETraining

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore:`torch.jit:FutureWarning"),
]

CPU = Placement("cpu")


@pytest.fixture
def features() -> np.ndarray:
    """Vectors that two hidden numbers decide: (150, 6) in [0, 1]."""
    random_state = np.random.RandomState(0)
    hidden = random_state.rand(150, 2).astype(np.float32)
    return 0.2 + 0.6 * hidden @ random_state.dirichlet([1, 1], 6).T.astype(np.float32)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("adam", lambda p: torch.optim.Adam(p, 0.01, betas=(0.5, 0.999))),
        (
            "radam",
            lambda p: torch.optim.RAdam(p, 0.01, (0.5, 0.999), decoupled_weight_decay=True),
        ),
        ("rmsprop", lambda p: torch.optim.RMSprop(p, 0.01)),
    ],
)
def test_an_epoch_is_that_of_a_plain_loop(
    run_fit: Callable, features: np.ndarray, name: str, plain: Callable
) -> None:
    gin.bind_parameter("BetaSchedule.beta0", 0.3)
    vae, rows = run_fit(epochs=2, lr=0.01, optimizer_name=name, loss_weights={"MSE": 2.0})

    torch.manual_seed(0)
    other = VAETraining(latent_dims=3).build((6,))
    optimizer = plain(other.parameters())
    for row, epoch in zip(rows, range(2), strict=True):
        sums = {"MSE": 0.0, "KLD": 0.0}
        for batch, noise in batches(Rows(features, CPU), 40, 3, 1, epoch):
            mean, logvar = other.encoder(batch)
            posterior = Normal(mean, (logvar / 2).exp())
            reconstruction = other.decoder(mean + noise * posterior.stddev)
            mse = (reconstruction - batch).square().sum() / len(batch)
            kld = kl_divergence(posterior, Normal(0.0, 1.0)).sum() / 3 / len(batch)
            optimizer.zero_grad()
            (2 * mse + 0.3 * kld).backward()
            optimizer.step()
            sums["MSE"] += mse.item() * len(batch)
            sums["KLD"] += kld.item() * len(batch)
        for loss, weight in (("MSE", 2.0), ("KLD", 0.3)):
            assert row[loss] == pytest.approx(sums[loss] / 150, rel=1e-4)
            assert row[f"weighted_{loss}"] == pytest.approx(weight * sums[loss] / 150, rel=1e-4)
        assert row["total_loss"] == pytest.approx(row["weighted_MSE"] + row["weighted_KLD"])
    for ours, theirs in zip(vae.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-4)


def test_every_row_is_seen_once_an_epoch_in_another_order(features: np.ndarray) -> None:
    table = Rows(features, CPU)
    orders = [torch.cat([batch for batch, _ in batches(table, 40, 3, 1, e)]) for e in (0, 1)]
    assert not torch.equal(*orders)
    for order in orders:
        found = np.array(sorted(order.tolist()))
        np.testing.assert_array_equal(found, np.array(sorted(features.tolist()), np.float32))


def test_fused_radam_is_radam_over_200_steps() -> None:
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.ones(20, 5)) for _ in range(2))
    fused = make_optimizer("radam", [ours], 1e-2)
    assert isinstance(fused, FusedRAdam)
    plain = torch.optim.RAdam([theirs], 1e-2, decoupled_weight_decay=True)
    for _ in range(200):
        ours.grad = 10 ** torch.empty(20, 1).uniform_(-3, 3) * torch.randn(20, 5)
        theirs.grad = ours.grad.clone()
        fused.step()
        plain.step()
        torch.testing.assert_close(ours, theirs, rtol=2e-6, atol=2e-6)


def test_clipping_bounds_the_gradients(run_fit: Callable, tmp_path: Path) -> None:
    # Beside Adam's eps of 1e-8 gradients of 1e-14 move nothing.
    start, _ = run_fit(epochs=1, clip_gradients=1e-14, folder=tmp_path / "clipped")
    torch.manual_seed(0)
    fresh = VAETraining(latent_dims=3).build((6,))
    for ours, theirs in zip(start.parameters(), fresh.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-7)


def test_schedules_reach_the_losses_and_the_optimiser(run_fit: Callable) -> None:
    gin.bind_parameter("BetaSchedule.beta_start", 0)
    gin.bind_parameter("BetaSchedule.beta_end", 2)
    gin.bind_parameter("LRSchedule.warmup_lr", 1e-5)
    gin.bind_parameter("LRSchedule.warmup_epochs", 1)
    _, rows = run_fit(epochs=3, schedule_lr=True, schedule_classes={"MSE": BetaSchedule})
    assert [row["beta"] for row in rows] == pytest.approx([0.001, 0.0505, 0.1])
    assert [row["lr"] for row in rows] == [1e-5, 1e-3, 1e-3]
    for row in rows:
        assert row["weighted_MSE"] == pytest.approx(row["beta"] * row["MSE"])


def test_it_learns_what_decides_the_features(run_fit: Callable) -> None:
    gin.bind_parameter("GaussianLikelihood.scale_mean_zero_one", False)
    _, rows = run_fit(epochs=120, lr=1e-2, adam_beta1=0.9)
    assert rows[-1]["MSE"] < 0.05 * rows[0]["MSE"]


def test_bf16_follows_float32(run_fit: Callable, tmp_path: Path) -> None:
    _, rows = run_fit(epochs=3)
    vae, rounded = run_fit(epochs=3, placement=Placement("cpu", "bf16"), folder=tmp_path / "bf16")
    for row, other in zip(rows, rounded, strict=True):
        assert other["total_loss"] == pytest.approx(row["total_loss"], rel=0.02)
    assert rows != rounded
    assert all(parameter.dtype == torch.float32 for parameter in vae.parameters())


def test_a_finished_training_is_used_again(
    run_fit: Callable, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    first, rows = run_fit()
    written = (tmp_path / CHECKPOINT).stat().st_mtime_ns
    again, same_rows = run_fit()
    assert "2 of 2 epochs" in capsys.readouterr().out
    assert rows == same_rows and (tmp_path / CHECKPOINT).stat().st_mtime_ns == written
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_training_of_something_else_begins_anew(run_fit: Callable) -> None:
    _, rows = run_fit(made_from={"name": "one"})
    _, others = run_fit(made_from={"name": "other"}, epochs=1)
    assert len(others) == 1 and others[0] == rows[0]


def test_curves(run_fit: Callable, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _, rows = run_fit()
    with (tmp_path / "stats.csv").open() as stream:
        lines = list(csv.DictReader(stream, delimiter=";"))
    assert list(lines[0]) == ["epochs", *sorted(rows[0])]
    assert [line["epochs"] for line in lines] == ["0", "1"]
    assert [float(line["MSE"]) for line in lines] == [row["MSE"] for row in rows]

    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    found = [(event.step, event.value) for event in events.Scalars("MSE")]
    assert found == [(epoch, pytest.approx(row["MSE"])) for epoch, row in enumerate(rows)]


def test_the_log_says_what_each_code_does(run_fit: Callable, features: np.ndarray) -> None:
    vae, rows = run_fit(epochs=30, lr=1e-2)
    looked_at = torch.linspace(0, 149, 40).long()
    with torch.no_grad():
        mean, logvar = vae.eval().encoder(torch.from_numpy(features)[looked_at])
    posterior = Normal(mean, (logvar / 2).exp())
    expected = kl_divergence(posterior, Normal(0.0, 1.0)).mean(0)
    found = [rows[-1][f"KLD_code_{code}"] for code in range(3)]
    assert found == pytest.approx(expected.tolist(), rel=1e-4)
    assert rows[-1]["active_codes"] == (mean.numpy().var(0) > 0.01).sum() > 0


def test_the_gradients_norm_is_that_before_clipping(run_fit: Callable, tmp_path: Path) -> None:
    _, rows = run_fit(epochs=1, lr=0.0)
    _, clipped = run_fit(epochs=1, lr=0.0, clip_gradients=1e-9, folder=tmp_path / "clipped")
    assert clipped[0]["gradient_norm"] == rows[0]["gradient_norm"] > 1e-3


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_log_changes_no_weight(
    run_fit: Callable, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, precision: Precision
) -> None:
    gin.bind_parameter("Encoder.batch_norm", True)
    gin.bind_parameter("Encoder.dropout", 0.1)
    placement = Placement("cpu", precision)
    logged, _ = run_fit(epochs=3, placement=placement)
    monkeypatch.setattr(fitting, "code_columns", lambda *_: {})
    monkeypatch.setattr(nn.utils, "get_total_norm", lambda _: torch.zeros(()))
    plain, rows = run_fit(epochs=3, placement=placement, folder=tmp_path / "plain")
    assert rows[-1]["gradient_norm"] == 0 and "active_codes" not in rows[-1]
    expected = plain.state_dict()
    for name, tensor in logged.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize("name", ["stats.csv", "tensorboard/events.*"])
@pytest.mark.parametrize("damage", ["absent", "cut", "flipped"])
def test_curves_that_were_damaged_are_written_again(
    run_fit: Callable, tmp_path: Path, name: str, damage: str
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _, rows = run_fit(epochs=3)
    stats = (tmp_path / "stats.csv").read_bytes()
    (path,) = tmp_path.glob(name)
    content = path.read_bytes()
    half = len(content) // 2
    if damage == "absent":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[:half])
    else:
        path.write_bytes(content[:half] + bytes([content[half] ^ 0xFF]) + content[half + 1 :])
    run_fit(epochs=3)
    assert (tmp_path / "stats.csv").read_bytes() == stats
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    found = [(event.step, event.value) for event in events.Scalars("MSE")]
    assert found == [(epoch, pytest.approx(row["MSE"])) for epoch, row in enumerate(rows)]
    (written,) = tmp_path.glob("tensorboard/events.*")
    before = written.stat().st_mtime_ns
    run_fit(epochs=3)
    assert written.stat().st_mtime_ns == before, "what is whole is left as it is"


def test_tensorboard_does_not_bring_tensorflow(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from submission.runtime.curves import recording
with recording(Path({str(tmp_path)!r}), [{{"MSE": 1.0}}]) as record:
    record()
assert "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_rows_of_a_mapped_file(tmp_path: Path, features: np.ndarray) -> None:
    np.save(tmp_path / "features.npy", features)
    table = Rows(np.load(tmp_path / "features.npy", mmap_mode="r").reshape(-1, 2, 3), CPU)
    numbers = torch.tensor([3, 149, 3])
    expected = torch.from_numpy(features).reshape(-1, 2, 3)[numbers]
    for _ in range(4000):  # past the point where pages are given back
        found = table[numbers]
    assert torch.equal(found, expected)


def test_memory_does_not_grow_with_the_table(
    tmp_path: Path, resident_bytes: Callable[[], int]
) -> None:
    """A third of a gigabyte of features passes through less than 100 MB."""
    shape = (150_000, 512)
    np.lib.format.open_memmap(tmp_path / "features.npy", "w+", np.float32, shape)
    gin.bind_parameter("Encoder.features_per_layer", [8])
    gin.bind_parameter("Decoder.features_per_layer", [8])
    training = VAETraining(latent_dims=3, epochs=1)
    vae = training.build(shape[1:])
    before = resident_bytes()
    fit(
        vae,
        training,
        np.load(tmp_path / "features.npy", mmap_mode="r"),
        batch_size=2000,
        seed=1,
        placement=CPU,
        folder=tmp_path,
        made_from={},
    )
    assert resident_bytes() - before < 100e6


def weights(folder: Path) -> dict[str, Tensor]:
    return torch.load(folder / CHECKPOINT, weights_only=True)["vae"]


def test_sigkill_changes_nothing(
    submission: Callable[..., subprocess.Popen], small_config: Path, tmp_path: Path
) -> None:
    """Killed with SIGKILL mid-epoch and run again: weights, curves and export are the same."""
    # Dropout draws from another stream than noise; both must go on where they would have been.
    options = ["--features-dir", tmp_path / "features"]
    for binding in ("train_vae.epochs = 120", "Encoder.dropout = 0.1"):
        options += ["--binding", binding]
    undisturbed = submission("train", small_config, "undisturbed", *options)
    killed = submission("train", small_config, "killed", *options)
    folder = tmp_path / "shared" / "killed"
    deadline = time.monotonic() + 120
    while not (folder / CHECKPOINT).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    killed.kill()
    killed.communicate()
    epochs_done = len(torch.load(folder / CHECKPOINT, weights_only=True)["rows"])
    assert 0 < epochs_done < 120
    assert not (folder / "representation").exists()

    resumed = submission("train", small_config, "killed", *options)
    output, _ = resumed.communicate(timeout=120)
    undisturbed.communicate(timeout=120)
    assert resumed.returncode == undisturbed.returncode == 0
    assert f"Reusing {epochs_done} of 120 epochs" in output
    whole = tmp_path / "shared" / "undisturbed"
    assert (folder / "stats.csv").read_bytes() == (whole / "stats.csv").read_bytes()
    expected = weights(whole)
    for name, tensor in weights(folder).items():
        assert torch.equal(tensor, expected[name]), name
    images = torch.rand(3, 3, 64, 64)
    codes = [
        torch.jit.load(each / "representation" / "pytorch_model.pt")(images)
        for each in (whole, folder)
    ]
    assert torch.equal(*codes)


@pytest.fixture
def run_main(run_here: Callable[..., None], tmp_path: Path) -> Callable:
    """Runs the command line in this process, and returns the representation that it exports."""

    def run(verb: str, config: Path, *options: str, folder: str = "representation") -> nn.Module:
        run_here(verb, config, "x", *options)
        return torch.jit.load(tmp_path / "shared" / "x" / folder / "pytorch_model.pt")

    return run


def test_the_untrained_baseline_has_the_same_architecture(
    run_main: Callable, small_config: Path
) -> None:
    trained = run_main("train", small_config)
    untrained = run_main("export", small_config, "--untrained", folder="representation-untrained")
    shapes = [
        {name: tensor.shape for name, tensor in module.state_dict().items()}
        for module in (trained, untrained)
    ]
    assert shapes[0] == shapes[1]
    start, end = untrained.state_dict(), trained.state_dict()
    changed = {name.split(".")[0] for name in start if not torch.equal(start[name], end[name])}
    assert changed == {"2"}, "training changes the VAE, and not the extractor"


def test_a_changed_config_trains_again_and_a_changed_metric_does_not(
    run_main: Callable, small_config: Path, capsys: pytest.CaptureFixture
) -> None:
    run_main("train", small_config)
    capsys.readouterr()
    run_main("train", small_config, "--binding", "get_eval_metrics.metrics = ['mig']")
    assert "Reusing 4 of 4 epochs" in capsys.readouterr().out
    bindings = ("main.batch_size = 16", f"main.dataset_name = {['mpi3d_toy'] * 9}")
    options = [part for binding in bindings for part in ("--binding", binding)]
    run_main("train", small_config, *options)
    assert "Reusing 4 of 4 epochs" in capsys.readouterr().out
    run_main("train", small_config, "--binding", "Encoder.dropout = 0.2")
    assert "of 4 epochs" not in capsys.readouterr().out


def test_a_vae_of_maps(run_main: Callable, small_config: Path) -> None:
    """GaussianLikelihood2d trains on the extractor's maps: 128 of 16x16 after VGG11's stage 2."""
    bindings = (
        "main.transform_class = @IdentityTransform",
        "Decoder.likelihood_class = @GaussianLikelihood2d",
        "main.dataset_size = 64",
        "train_vae.epochs = 1",
    )
    options = [part for binding in bindings for part in ("--binding", binding)]
    module = run_main("train", small_config, *options)
    assert module(torch.rand(2, 3, 64, 64)).shape == (2, 5)


def test_what_is_computed_in_float32_after_all_is_known_as_that(
    small_config: Path, tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features and checkpoints of a processor without bf16 are those of float32, and no others."""
    monkeypatch.setenv("DISENTANGLEMENT_LIB_DATA", str(data_root))
    monkeypatch.setenv("AICROWD_DATASET_NAME", "mpi3d_sim_real_mini")
    bf16 = Placement("cpu", "bf16")

    def made_from(placement: Placement) -> dict[str, str]:
        gin.clear_config()
        config.load(small_config, [])
        return prepare(tmp_path, placement).made_from

    exact = made_from(CPU)
    monkeypatch.setattr(precision, "has_bf16", lambda _: False)
    assert made_from(bf16) == exact
    monkeypatch.setattr(precision, "_fault_of", lambda *_: None)
    rough = made_from(bf16)
    assert {key for key in exact if rough[key] != exact[key]} == {"precision", "fitted_in"}
