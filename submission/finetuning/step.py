"""The gradients of one batch of fine-tuning, in parts where the GPU's memory does not take it."""

import torch
from torch import Tensor, nn

from evaluation.common.devices import Placement
from evaluation.common.parts import Parts
from evaluation.common.terminal import console
from submission.finetuning.classifier import FactorClassifier
from submission.runtime import distributed
from submission.runtime.graphs import Step, captured_on_gpu

_SMALLEST = 4
"""Parts of at least half of this: batch norm needs two images to compute a variance."""


def parts_of_batches(batch_size: int) -> Parts:
    """The parts of a training's batches. Under torchrun a batch stays whole in every process."""
    alone = distributed.world_size() == 1

    def tell(at_once: int) -> None:
        console.print(
            f"The GPU's memory does not take {batch_size} images: from now on the gradients of "
            f"parts of at most {at_once} are added up. A step is that of the whole batch, except "
            "that batch norms use the mean and the variance of a part"
        )

    return Parts(tell, _SMALLEST if alone else batch_size)


def gradient_step(
    model: nn.Module, classifier: FactorClassifier, placement: Placement, parts: Parts
) -> Step:
    """`add_gradients` of a batch of images and factors, on a GPU recorded and replayed.

    A step is to be made anew when other weights learn.

    Returns:
        A function whose result has the losses (factors,) under the name "losses".
    """

    def step(images: Tensor, factors: Tensor) -> dict[str, Tensor]:
        losses = add_gradients(model, classifier, images, factors, placement, parts)
        return {"losses": losses}

    return captured_on_gpu(step, classifier.parameters(), placement)


def batch_logits(model: nn.Module, images: Tensor, total: int, placement: Placement) -> Tensor:
    """The logits (total, sum of sizes) of a batch, of which this process has `images`."""
    with torch.autocast(placement.kind, torch.bfloat16, enabled=placement.in_bf16):
        own = model(images)
    return distributed.gather_rows(own.float(), total)


def add_gradients(
    model: nn.Module,
    classifier: FactorClassifier,
    images: Tensor,
    factors: Tensor,
    placement: Placement,
    parts: Parts,
) -> Tensor:
    """Sets the gradients of the summed losses of a batch, and returns the losses (factors,).

    Args:
        model: `classifier`, or its wrapper from `distributed.data_parallel`.
        classifier: The network.
        images: This process's share of the batch, (n, 3, H, W).
        factors: The right values of the whole batch, (N, factors).
        placement: Where and in which precision to compute.
        parts: What memory takes at once.

    Raises:
        RuntimeError: not even the smallest part fits, or several processes train.
    """
    buffers = list(classifier.buffers())
    before = [buffer.clone() for buffer in buffers]

    def undo() -> None:
        # A try that ran out of memory may have updated some of the batch norms.
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)

    def compute(slices: list[slice]) -> Tensor:
        classifier.zero_grad()
        losses = []
        for part in slices:
            own, values = (images, factors) if len(slices) == 1 else (images[part], factors[part])
            logits = batch_logits(model, own, len(values), placement)
            share = classifier.losses(logits, values) * (len(values) / len(factors))
            share.sum().backward()
            losses.append(share.detach())
        return torch.stack(losses).sum(0)

    return parts.run(len(factors), compute, undo)
