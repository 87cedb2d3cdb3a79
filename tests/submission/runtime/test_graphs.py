"""Training steps that are recorded and replayed: the bookkeeping around the recording.

On a CPU nothing can be recorded, so what stands for a replay runs the step again on the tensors
that a recording would have used. `tests/gpu` has the real recording.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from evaluation.common.devices import Placement
from submission.runtime import graphs
from submission.runtime.graphs import Captured, captured_on_gpu

SIZES = [4, 4, 4, 4, 4, 2, 4, 4]


def runs_again(run: Callable[[], dict[str, Tensor]]) -> tuple[Callable[[], Any], dict[str, Tensor]]:
    """As `graphs.capture`: the same tensors hold result and gradients after each replay."""
    result = run()
    kept = [weight.grad for weight in LAYER.parameters()]

    def replay() -> None:
        for name, value in run().items():
            result[name].copy_(value)
        for own, weight in zip(kept, LAYER.parameters(), strict=True):
            own.copy_(weight.grad)
            weight.grad = None  # a replay knows nothing of `grad`

    return replay, result


@pytest.fixture(autouse=True)
def _nothing_failed_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Captured, "gave_up", False)


torch.manual_seed(0)
LAYER = nn.Linear(3, 2)


def step(rows: Tensor, noise: Tensor) -> dict[str, Tensor]:
    LAYER.zero_grad()
    loss = (LAYER(rows) * noise).square().mean()
    loss.backward()
    return {"loss": loss.detach()}


def gradients() -> list[Tensor]:
    return [weight.grad.clone() for weight in LAYER.parameters()]


def test_a_replayed_step_gives_the_losses_and_gradients_of_a_plain_one() -> None:
    captured = Captured(step, LAYER.parameters(), step, runs_again)
    random = torch.Generator().manual_seed(1)
    for size in SIZES:
        rows = torch.randn(size, 3, generator=random)
        noise = torch.randn(size, 2, generator=random)
        expected = step(rows, noise)["loss"].clone()
        wanted = gradients()
        found = captured(rows, noise)["loss"].clone()
        assert torch.equal(found, expected)
        assert all(map(torch.equal, gradients(), wanted))


def test_what_cannot_be_recorded_runs_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(_: Callable[[], dict[str, Tensor]]) -> Any:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nMore")

    captured = Captured(step, LAYER.parameters(), step, refuse)
    rows, noise = torch.ones(4, 3), torch.ones(4, 2)
    losses = [float(captured(rows, noise)["loss"]) for _ in range(6)]
    assert len(set(losses)) == 1
    assert capsys.readouterr().out.count("not replayed as CUDA graphs") == 1
    # The next epoch does not try it again, so that it is said once.
    assert captured_on_gpu(step, LAYER.parameters(), Placement("cuda")) is step


def test_a_recording_that_failed_is_ended_for_pytorch_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The calls, with a GPU that is not there; `tests/gpu` makes a real one fail."""
    done: list[Any] = []

    class Generator:
        def clone_state(self) -> str:
            return "fresh"

        def graphsafe_set_state(self, state: str) -> None:
            done.append(state)

    @contextmanager
    def recording(*_: Any, **__: Any) -> Iterator[None]:
        yield
        raise RuntimeError("CUDA error: operation failed due to a previous error during capture")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: None)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 1))
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: "before")
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "graph", recording)
    monkeypatch.setattr(torch.cuda, "default_generators", (Generator(),))
    for name in ("_cuda_endAllocateToPool", "_cuda_releasePool"):  # which PyTorch must have
        monkeypatch.setattr(torch._C, name, lambda *call, name=name: done.append((name, *call)))
    with pytest.raises(RuntimeError, match="during capture"):
        graphs.capture(dict)
    assert done == [
        ("_cuda_endAllocateToPool", 0, (0, 1)),
        ("_cuda_releasePool", 0, (0, 1)),
        "fresh",
    ]


def test_on_a_cpu_a_step_stays_as_it_is() -> None:
    assert captured_on_gpu(step, LAYER.parameters(), Placement()) is step
