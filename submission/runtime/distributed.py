"""One job on several devices or machines, with torch.distributed under torchrun.

`--devices N` starts N processes on this machine. For several machines, the user starts the same
command with `torchrun` on each. A process that torchrun did not start is a group of one. All
functions here work for it too, so the code that calls them is the same for one device and many.

Every process computes the loss of the *global* batch, from sums over processes that autograd
follows (`sum_over_processes`, `gather_rows`). DistributedDataParallel then takes the mean of the
gradients over processes, and this mean is the gradient of the global loss.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from evaluation.common.devices import Placement
from evaluation.common.errors import KitError
from evaluation.common.files import locked
from evaluation.common.terminal import console
from submission import aicrowd

_LONGEST_WAIT = timedelta(hours=2)
"""How long processes wait for the first one, which may have to render or download a dataset."""


def is_launched() -> bool:
    """Whether torchrun started this process."""
    return distributed.is_torchelastic_launched()


def launch(devices: int, device: str, arguments: Sequence[str]) -> int:
    """Runs `python -m submission ARGUMENTS` in `devices` processes, and returns the exit status.

    Args:
        devices: Number of processes.
        device: "cpu" or "cuda".
        arguments: The command line after `python -m submission`.

    Raises:
        KitError: `DEVICE-NUMBER`, there are too few CUDA devices, or `device` has a number.
    """
    if device != "cpu" and (device != "cuda" or devices > torch.cuda.device_count()):
        raise KitError(
            "DEVICE-NUMBER",
            f"--devices {devices} on {device}: torch finds {torch.cuda.device_count()}",
            "Set --devices to at most that number, and --device to cuda; choose devices with "
            "CUDA_VISIBLE_DEVICES",
        )
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    options = ["--standalone", f"--nproc-per-node={devices}", "-m", "submission", *arguments]
    try:
        torchrun.run(torchrun.parse_args(options))
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return failure.exitcode
    return 0


@contextmanager
def process_group(placement: Placement) -> Iterator[Placement]:
    """Joins the group of processes that torchrun started, and yields this process's placement.

    Without torchrun, it yields `placement`. Only the first process prints to the console.
    """
    # TF32 would compute float32 convolutions and products with less precision.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    if not is_launched():
        if placement.kind == "cuda":
            torch.cuda.set_device(placement.device)
        yield placement
        return
    own, backend = placement, "gloo"
    if placement.kind == "cuda":
        own = replace(placement, device=f"cuda:{distributed.get_node_local_rank()}")
        torch.cuda.set_device(own.device)
        backend = "nccl"
    distributed.init_process_group(backend, timeout=_LONGEST_WAIT)
    console.quiet = not is_main()
    yield own
    # Not in a `finally`: a process that failed must end without waiting for the others.
    barrier()
    distributed.destroy_process_group()


def rank() -> int:
    """The number of this process in its group, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """The number of processes in the group."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_main() -> bool:
    """Whether this is the first process, which prints and writes files."""
    return rank() == 0


def only_group(folder: Path) -> AbstractContextManager[None]:
    """Locks `folder` against other runs within the block.

    Only the first process waits for the lock. The others wait for it at the next barrier.
    """
    return locked(folder, str(folder)) if is_main() else nullcontext()


def seed_epoch(seed: int, epoch: int) -> int:
    """Seeds PyTorch's generator for an epoch, and returns the seed that all processes share.

    The generator gets another seed in each process, because dropout in each has other rows.
    """
    stream = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    torch.manual_seed(stream + rank())
    return stream


def barrier() -> None:
    """Waits until all processes of the group have called it."""
    if distributed.is_initialized():
        distributed.barrier()


def share(total: int) -> slice:
    """This process's contiguous part of `total` rows; the parts differ by at most one row."""
    return slice(total * rank() // world_size(), total * (rank() + 1) // world_size())


def own_rows(batches: Sequence[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """This process's share of each batch of numbers (n,)."""
    return [batch[share(len(batch))] for batch in batches]


def report_progress(done: float) -> None:
    """Tells AIcrowd, once for the whole group, which part `done`, in [0, 1], of a job is done."""
    if is_main():
        aicrowd.register_progress(done)


def sum_over_processes(tensor: Tensor) -> Tensor:
    """The sum over processes of tensors with the same shape. Autograd follows it."""
    return tensor if world_size() == 1 else _Sum.apply(tensor)


def any_of_all(flag: bool, placement: Placement) -> bool:
    """Whether `flag` is true in any process; all processes get the same answer."""
    return bool(sum_over_processes(torch.tensor(float(flag), device=placement.device)))


def gather_rows(rows: Tensor, total: int) -> Tensor:
    """The rows (total, ...) of all processes; `rows` are those of `share(total)`."""
    if world_size() == 1:
        return rows
    before = share(total).start
    after = total - before - len(rows)
    # A sum of parts padded with zeros: all_gather needs parts of equal size, and has no gradient.
    padding = [0, 0] * (rows.ndim - 1) + [before, after]
    return sum_over_processes(functional.pad(rows, padding))


def data_parallel(model: nn.Module) -> nn.Module:
    """`model` for training: after each backward pass, gradients are averaged over the processes.

    Its batch norms use the statistics of the global batch. Every parameter must contribute to every
    loss.
    """
    if world_size() == 1:
        return model
    on_cuda = next(model.parameters()).is_cuda
    model = nn.SyncBatchNorm.convert_sync_batchnorm(model) if on_cuda else _shared_norms(model)
    return nn.parallel.DistributedDataParallel(model, forward_sync_buffers=False)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:  # noqa: ARG004 - autograd's signature
        total = tensor.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return _Sum.apply(gradient)


class _SharedBatchNorm(_BatchNorm):
    """Batch norm over the global batch, for CPUs: PyTorch's SyncBatchNorm runs only on GPUs."""

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - PyTorch's name
        if input.ndim < 2:
            raise ValueError(f"expected (N, C, ...), got {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        if not self.training:
            return super().forward(input)
        axes = [axis for axis in range(input.ndim) if axis != 1]
        values = input.float()  # bfloat16 is too coarse for sums over a batch
        count = sum_over_processes(values.new_tensor([input.numel() / input.shape[1]]))
        mean = sum_over_processes(values.sum(axes)) / count
        shape = [1, -1] + [1] * (input.ndim - 2)
        centred = values - mean.view(shape)
        variance = sum_over_processes(centred.square().sum(axes)) / count
        with torch.no_grad():
            self._track(mean, variance * count / (count - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale.view(shape) + self.bias.view(shape)).to(input.dtype)

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


def _shared_norms(module: nn.Module) -> nn.Module:
    """`module` with every batch norm, at any depth, replaced by one over the global batch."""
    if isinstance(module, _BatchNorm):
        shared = _SharedBatchNorm(module.num_features, module.eps, module.momentum)
        # The parameters are not copied, because an optimiser may already refer to them.
        shared.weight, shared.bias = module.weight, module.bias
        shared.load_state_dict(module.state_dict())
        shared.train(module.training)
        return shared
    for name, child in module.named_children():
        setattr(module, name, _shared_norms(child))
    return module
