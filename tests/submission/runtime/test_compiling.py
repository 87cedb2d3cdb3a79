"""Compiled training steps against eager ones, across an interruption, and without a compiler."""

import copy
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import gin
import numpy as np
import pytest
import torch
from torch import Tensor

from evaluation.common.devices import Placement, Precision
from evaluation.common.environment import REPOSITORY
from submission.runtime import compiling, onednn
from submission.vae.fitting import batch_losses, in_precision
from submission.vae.model import VAE
from submission.vae.settings import VAETraining
from tests import real_parts

CPU = Placement("cpu")

missing = [part for part in ("g++", "Python.h") if not real_parts.is_there(part)]
needs_compiler = pytest.mark.skipif(
    bool(missing), reason="; ".join(map(real_parts.why_skipped, missing))
)
pytestmark = pytest.mark.usefixtures("one_thread")

OPTIONS = """
Encoder.features_per_layer = [96]
Encoder.batch_norm = True
Encoder.dropout = 0.1
Decoder.features_per_layer = [96]
Decoder.batch_norm = True
RegularizationLoss.use_bayes_factor_vae0_loss = True
RegularizationLoss.use_tc_loss = True
"""
MAPS = """
Encoder.features_per_layer = [96]
Decoder.features_per_layer = [96]
Decoder.likelihood_class = @GaussianLikelihood2d
"""


@pytest.fixture
def features() -> np.ndarray:
    """Wide enough for onednn.linear_layers; 150 rows leave a smaller last batch."""
    return np.random.RandomState(0).rand(150, 128).astype(np.float32)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every training counts as long, and finds nothing that another has compiled before."""
    monkeypatch.setattr(compiling, "SAMPLES_WORTH_IT", 0)
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@needs_compiler
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(
    ("options", "shape", "precision", "tolerance"),
    [
        (OPTIONS.replace("0.1", "0"), (128,), "float32", 1e-4),
        (OPTIONS.replace("0.1", "0"), (128,), "bf16", 3e-2),
        (MAPS, (32, 2, 2), "float32", 1e-4),
    ],
)
def test_losses_and_gradients_are_the_eager_ones(
    options: str,
    shape: tuple[int, ...],
    precision: Precision,
    tolerance: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(onednn, "mkl_is_faster", lambda: False)  # the other tests take MKL if it is
    gin.parse_config(options)
    torch.manual_seed(0)
    vae = VAETraining(latent_dims=4).build(shape)
    features, noise = torch.rand(64, *shape), torch.randn(64, 4)

    def run(function: Callable[..., dict[str, Tensor]]) -> tuple[dict[str, Tensor], Tensor]:
        own = copy.deepcopy(vae).train()
        with in_precision(Placement("cpu", precision)):
            losses = function(own, own, features, noise)
        torch.stack(list(losses.values())).sum().backward()
        gradients = [weight.grad.flatten() for weight in own.parameters()]
        return losses, torch.cat([*gradients, *(b.flatten() for b in own.buffers())])

    compiled = compiling.compiled_if_long(batch_losses, 1, CPU)
    assert compiled is not batch_losses
    losses, others = run(compiled)
    expected, eager = run(batch_losses)
    assert losses.keys() == expected.keys()
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected[name], rtol=tolerance, atol=1e-5)
    assert (others - eager).norm() <= tolerance * eager.norm()


@needs_compiler
@pytest.mark.usefixtures("always")
def test_an_interrupted_training_ends_at_the_same_weights(
    run_fit: Callable[..., tuple[VAE, list[dict]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Compiled anew by another process, which `torch.compiler.reset` stands for."""
    gin.parse_config(OPTIONS)

    def train(folder: str, epochs: int) -> dict[str, Tensor]:
        torch.compiler.reset()
        vae, rows = run_fit(epochs, folder=tmp_path / folder)
        assert len(rows) == epochs
        return vae.state_dict()

    whole = train("whole", 3)
    train("halves", 1)
    halves = train("halves", 3)
    for name, weight in whole.items():
        assert torch.equal(weight, halves[name]), name

    monkeypatch.setattr(compiling, "SAMPLES_WORTH_IT", sys.maxsize)
    eager = train("eager", 3)  # whose dropout draws otherwise
    assert any(not torch.equal(weight, eager[name]) for name, weight in whole.items())


def test_short_trainings_and_other_devices_are_left_alone() -> None:
    worth_it = compiling.SAMPLES_WORTH_IT
    assert compiling.compiled_if_long(batch_losses, worth_it - 1, CPU) is batch_losses
    cuda = Placement("cuda")
    assert compiling.compiled_if_long(batch_losses, worth_it, cuda) is batch_losses


def test_without_a_compiler_training_goes_on(tmp_path: Path) -> None:
    program = """
from evaluation.common.devices import Placement
from submission.runtime.compiling import SAMPLES_WORTH_IT, compiled_if_long
def function(x): return x
print(compiled_if_long(function, SAMPLES_WORTH_IT, Placement("cpu")) is function)
"""
    variables = {"CXX": str(tmp_path / "none"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    output = subprocess.run(
        [sys.executable, "-c", program],
        cwd=REPOSITORY,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert output.startswith("Training steps are not compiled") and "g++" in output
    assert output.endswith("True\n")


@pytest.mark.parametrize("what", ["losses", "gradient"])
def test_steps_that_the_compiler_gets_wrong_are_not_compiled(
    what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def miscompile(function: Callable, **_: object) -> Callable:
        def wrong(model: torch.nn.Module, *arguments: object) -> dict[str, Tensor]:
            losses = function(model, *arguments)
            if what == "losses":
                return {name: 1.1 * loss for name, loss in losses.items()}
            return {name: 2 * loss - loss.detach() for name, loss in losses.items()}

        return wrong if function is batch_losses else function

    monkeypatch.setattr(torch, "compile", miscompile)
    gin.parse_config(OPTIONS)
    torch.manual_seed(0)
    vae = VAETraining(latent_dims=4).build((128,)).train()
    features, noise = torch.rand(64, 128), torch.randn(64, 4)
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    steps = compiling.compiled_if_long(batch_losses, compiling.SAMPLES_WORTH_IT, CPU)
    torch.manual_seed(5)
    found = steps(vae, vae, features, noise)
    assert capsys.readouterr().out.startswith(
        "Training steps are not compiled, which is slower: compiled losses or gradients are wrong"
    )
    vae.load_state_dict(before)
    torch.manual_seed(5)
    expected = batch_losses(vae, vae, features, noise)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_switched_unit_is_no_wrong_gradient(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """One unit of one sample gets an input of 0, which rounding makes a little larger than 0."""

    def compile_with_other_rounding(function: Callable, **_: object) -> Callable:
        def other(vae: VAE, own: VAE, features: Tensor, noise: Tensor) -> dict[str, Tensor]:
            return function(vae, own, features + 1e-12 * (features == 0), noise)

        return other if function is batch_losses else function

    monkeypatch.setattr(torch, "compile", compile_with_other_rounding)
    gin.parse_config("Encoder.features_per_layer = [512]\nDecoder.features_per_layer = [512]")
    torch.manual_seed(0)
    vae = VAETraining(latent_dims=4).build((128,)).train()
    first = next(module for module in vae.modules() if isinstance(module, torch.nn.Linear))
    with torch.no_grad():
        first.bias.fill_(-1e-3)
        first.bias[0] = 0
        first.weight[0].abs_()
    features = torch.rand(256, 128)
    features[0] = 0
    steps = compiling.compiled_if_long(batch_losses, compiling.SAMPLES_WORTH_IT, CPU)
    found = torch.stack(list(steps(vae, vae, features, torch.randn(256, 4)).values()))
    assert found.isfinite().all()
    assert capsys.readouterr().out == ""
