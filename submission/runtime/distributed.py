"""One job on several devices or nodes: plain torch.distributed under torchrun.

`--devices N` starts N processes on this machine; several nodes start the same command through
`torchrun` themselves. A process that torchrun did not start is a group of one, and every function
here then does nothing, so the code that calls them reads the same for one device and for many.

The convention for losses: every process ends up with the loss of the *global* batch, made from
sums over processes that autograd sees (`sum_over_processes`, `gather_rows`). The mean over
processes that DistributedDataParallel takes of the gradients is then the gradient of that loss.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from evaluation.common.devices import Placement
from evaluation.common.errors import KitError
from evaluation.common.files import locked
from evaluation.common.terminal import console

_PATIENCE = timedelta(hours=2)
"""How long processes wait for the first of them, which may be rendering or downloading."""


def is_launched() -> bool:
    """Whether torchrun started this process."""
    return distributed.is_torchelastic_launched()


def launch(devices: int, device: str, arguments: Sequence[str]) -> int:
    """Runs `python -m submission ARGUMENTS` in `devices` processes; returns the exit status.

    Raises:
        KitError: there are not as many CUDA devices, or one of them is asked for by number.
    """
    if device != "cpu" and (device != "cuda" or devices > torch.cuda.device_count()):
        raise KitError(
            "DEVICE-NUMBER",
            f"--devices {devices} on {device}: torch finds {torch.cuda.device_count()}",
            "Give --devices at most that and --device cuda; CUDA_VISIBLE_DEVICES chooses among "
            "them",
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
    """Joins the processes that torchrun started, if it did, and yields this process's placement.

    Only the first process prints to the console.
    """
    # float32 is float32, also what bf16 leaves to it: no TF32 in convolutions and products.
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    if not is_launched():
        yield placement
        return
    own, backend = placement, "gloo"
    if placement.kind == "cuda":
        own = replace(placement, device=f"cuda:{distributed.get_node_local_rank()}")
        torch.cuda.set_device(own.device)
        backend = "nccl"
    distributed.init_process_group(backend, timeout=_PATIENCE)
    console.quiet = not is_main()
    yield own
    # Not in a `finally`: a process that failed must end without waiting for the others.
    barrier()
    distributed.destroy_process_group()


def rank() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_main() -> bool:
    """Whether this process is the one that prints and writes files."""
    return rank() == 0


def only_group(folder: Path) -> AbstractContextManager[None]:
    """Keeps other runs out of `folder` while it lasts.

    The first process waits for them; the others meet it at the next barrier.
    """
    return locked(folder, str(folder)) if is_main() else nullcontext()


def seed_epoch(seed: int, epoch: int) -> int:
    """Seeds the process's own stream, and returns the seed of what all draw alike in this epoch.

    Dropout draws from the process's own: each has other rows.
    """
    stream = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    torch.manual_seed(stream + rank())
    return stream


def barrier() -> None:
    if distributed.is_initialized():
        distributed.barrier()


def share(total: int) -> slice:
    """This process's contiguous part of `total` rows; parts differ by one row at most."""
    return slice(total * rank() // world_size(), total * (rank() + 1) // world_size())


def sum_over_processes(tensor: Tensor) -> Tensor:
    """The sum over processes of tensors of one shape, for autograd as well."""
    return tensor if world_size() == 1 else _Sum.apply(tensor)


def any_of_all(flag: bool, placement: Placement) -> bool:
    """Whether `flag` is true in any process; all get the same answer."""
    return bool(sum_over_processes(torch.tensor(float(flag), device=placement.device)))


def gather_rows(rows: Tensor, total: int) -> Tensor:
    """The rows (total, ...) of all processes, of which this one has `share(total)`."""
    if world_size() == 1:
        return rows
    before = share(total).start
    after = total - before - len(rows)
    # A sum with zeros: all_gather wants shares of one size, and has no gradient of its own.
    padding = [0, 0] * (rows.ndim - 1) + [before, after]
    return sum_over_processes(functional.pad(rows, padding))


def data_parallel(model: nn.Module) -> nn.Module:
    """`model` for training: its gradients are averaged over processes after each backward pass.

    Its batch norms take their statistics over the global batch. Every parameter must take part in
    every loss.
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
    """Batch norm over the global batch on devices where PyTorch's SyncBatchNorm refuses to run."""

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - PyTorch's name
        if input.ndim < 2:
            raise ValueError(f"expected (N, C, ...), got {tuple(input.shape)}")

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        if not self.training:
            return super().forward(input)
        axes = [axis for axis in range(input.ndim) if axis != 1]
        values = input.float()  # bfloat16 could not even count them
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
    """`module` with every batch norm, at any depth, exchanged for one over the global batch."""
    if isinstance(module, _BatchNorm):
        shared = _SharedBatchNorm(module.num_features, module.eps, module.momentum)
        # The same parameters, not copies: an optimiser may hold them already.
        shared.weight, shared.bias = module.weight, module.bias
        shared.load_state_dict(module.state_dict())
        shared.train(module.training)
        return shared
    for name, child in module.named_children():
        setattr(module, name, _shared_norms(child))
    return module
