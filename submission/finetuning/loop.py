"""Trains the classifier of fine-tuning: the training loop.

The random numbers of an epoch depend only on the run's seed and the epoch's number. So a killed job
can continue after its last whole epoch, and gets the same weights as without the kill.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import gin
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evaluation.common.devices import Placement
from evaluation.common.gin_types import Range
from evaluation.common.terminal import console, progress
from submission.features.batches import image_batches, in_batches, to_device
from submission.finetuning.augmentation import Augmenter
from submission.finetuning.classifier import FactorClassifier
from submission.finetuning.labelled import LabelledImages
from submission.finetuning.step import gradient_step, parts_of_batches
from submission.runtime import checkpoints, distributed
from submission.runtime.curves import recording
from submission.runtime.optimizers import OptimizerName, make_optimizer

CHECKPOINT = "checkpoint.pt"
_RISING = 0.15


@gin.configurable("train")
@dataclass(frozen=True)
class FineTuning:
    """The settings of fine-tuning.

    Args:
        epochs: Number of epochs.
        optimizer_name: The optimiser.
        lr: Learning rate of the aggregation and the heads.
        weight_decay: Decoupled from the gradient in radam, added to it in adam and rmsprop.
        unfreeze_extractor_epoch: The zero-based epoch in which the backbone starts to learn. Before
            it, the backbone's weights and batch norms do not change. If it is negative or not below
            `epochs`, they never change.
        extractor_lr: Learning rate of the backbone.
        log_interval: The progress bar shows new losses after this many batches.
        augmentation: Strength of the random changes of the images, see `augmentation`. 0 is none,
            and 1 is the usual one.
        schedule: How the learning rates change. With "one_cycle" they rise and fall, see
            `one_cycle`.
    """

    epochs: Annotated[int, Range(1)] = 20
    optimizer_name: OptimizerName = "radam"
    lr: Annotated[float, Range(0)] = 1e-3
    weight_decay: Annotated[float, Range(0)] = 0.0
    unfreeze_extractor_epoch: int = 0
    extractor_lr: Annotated[float, Range(0)] = 1e-4
    log_interval: Annotated[int, Range(1)] = 50
    augmentation: Annotated[float, Range(0)] = 0.0
    schedule: Literal["constant", "one_cycle"] = "constant"


def tune(
    classifier: FactorClassifier,
    images: LabelledImages,
    learned: NDArray[np.int64],
    held_out: NDArray[np.int64],
    tuning: FineTuning,
    *,
    batch_size: int,
    seed: int,
    placement: Placement,
    folder: Path,
    made_from: dict[str, Any],
) -> None:
    """Trains `classifier` in place. It continues where an earlier run of this training stopped.

    Args:
        classifier: The network.
        images: The images with their labels.
        learned, held_out: Numbers (n,) of the images to train on, and to measure accuracy on.
        tuning: The settings.
        batch_size: Images of a batch, of all processes together.
        seed: Seed of all random numbers.
        placement: Where and in which precision to train.
        folder: After every epoch, checkpoint.pt, stats.csv and tensorboard/ are written here.
        made_from: All that the result depends on. Only a checkpoint with the same is continued.
    """
    # As in the original: then an epoch gives the same bits again on a GPU, too.
    torch.backends.cudnn.deterministic = True
    path = folder / CHECKPOINT
    state = checkpoints.load(path, made_from)
    rows: list[dict[str, float]] = [] if state is None else state["rows"]

    classifier.to(placement.device).to(memory_format=torch.channels_last)
    classifier.set_backbone_learning(False)
    optimizer = make_optimizer(
        tuning.optimizer_name,
        [weight for weight in classifier.parameters() if weight.requires_grad],
        tuning.lr,
        weight_decay=tuning.weight_decay,
    )
    if 0 <= tuning.unfreeze_extractor_epoch < len(rows):
        _unfreeze(classifier, optimizer, tuning.extractor_lr)
    model = distributed.data_parallel(classifier)
    if state is not None:
        console.print(f"Reusing {len(rows)} of {tuning.epochs} epochs from {path}", markup=False)
        classifier.load_state_dict(state["classifier"])
        optimizer.load_state_dict(state["optimizer"])

    parts = parts_of_batches(batch_size)
    epoch_images = len(learned) + len(held_out)
    total, done = tuning.epochs * epoch_images, len(rows) * epoch_images
    with recording(folder, rows) as record, progress("Fine-tuning", total, done) as advance:
        for epoch in range(len(rows), tuning.epochs):
            if epoch == tuning.unfreeze_extractor_epoch:
                _unfreeze(classifier, optimizer, tuning.extractor_lr)
                model = distributed.data_parallel(classifier)
            classifier.train()
            sums, note = torch.zeros(len(images.factor_sizes), device=placement.device), ""
            batches = shuffled(learned, batch_size, seed, epoch)
            augment = Augmenter(tuning.augmentation, seed, epoch, placement)
            step = gradient_step(model, classifier, placement, parts)
            for position, (own, factors) in enumerate(with_labels(images, batches, placement)):
                _set_rates(optimizer, tuning, (epoch + position / len(batches)) / tuning.epochs)
                changed = augment(own, len(factors))
                losses = step(changed, factors)["losses"]
                optimizer.step()
                sums += losses * len(factors)
                if position % tuning.log_interval == 0:
                    note = _note(epoch, images.factor_names, losses)
                advance(len(factors), note)
            row = _row("loss", images.factor_names, sums / len(learned))
            if len(held_out):
                row |= _measure(classifier, images, held_out, batch_size, placement)
                advance(len(held_out), note)
            rows.append(row)
            record()
            if distributed.is_main():
                checkpoints.save(
                    path,
                    made_from,
                    rows=rows,
                    classifier=classifier.state_dict(),
                    optimizer=optimizer.state_dict(),
                )
    if len(held_out) and rows:
        found = (f"{name} {rows[-1][f'accuracy_{name}']:.3f}" for name in images.factor_names)
        console.print(f"Accuracy on held-out images: {', '.join(found)}")


def one_cycle(done: float) -> float:
    """The part of the largest learning rate after a part `done`, in [0, 1], of a training.

    It rises linearly for 15 % of the training, and falls to 0 as half a cosine wave (in the manner
    of Smith and Topin, arXiv 1708.07120).
    """
    if done < _RISING:
        return (1 + 9 * done / _RISING) / 10
    return (1 + math.cos(math.pi * (done - _RISING) / (1 - _RISING))) / 2


def _set_rates(optimizer: torch.optim.Optimizer, tuning: FineTuning, done: float) -> None:
    """Sets the learning rates for the step after a part `done`, in [0, 1], of the training."""
    factor = one_cycle(done) if tuning.schedule == "one_cycle" else 1.0
    # The backbone has no group of its own as long as it does not learn.
    rates = (tuning.lr, tuning.extractor_lr)
    for group, rate in zip(optimizer.param_groups, rates, strict=False):
        group["lr"] = rate * factor


def shuffled(
    numbers: NDArray[np.int64], batch_size: int, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """The batches of an epoch, the same in every process."""
    order = np.random.RandomState(distributed.seed_epoch(seed, epoch)).permutation(numbers)
    # Batch norm needs at least two images to compute a variance.
    return [batch for batch in in_batches(order, batch_size) if len(batch) > 1]


def with_labels(
    images: LabelledImages, batches: Sequence[NDArray[np.int64]], placement: Placement
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields, for each batch, this process's share of the images, and all labels (n, factors)."""
    own = distributed.own_rows(batches)
    for batch, pictures in zip(batches, image_batches(images.images, own, placement), strict=True):
        yield pictures, to_device(images.factors(batch), placement)


@torch.no_grad()
def _measure(
    classifier: FactorClassifier,
    images: LabelledImages,
    numbers: NDArray[np.int64],
    batch_size: int,
    placement: Placement,
) -> dict[str, float]:
    """The loss and the accuracy of each factor on images that were not trained on.

    Where they come from several datasets, the accuracy on each of these follows.
    """
    classifier.eval()
    names, domains = images.factor_names, images.domain_names
    sums = torch.zeros(1 + len(domains), len(names), device=placement.device, dtype=torch.float64)
    own = in_batches(numbers[distributed.share(len(numbers))], batch_size)
    for batch, pictures in zip(own, image_batches(images.images, own, placement), strict=True):
        factors = to_device(images.factors(batch), placement)
        with torch.autocast(placement.kind, torch.bfloat16, enabled=placement.in_bf16):
            logits = classifier(pictures)
        sums[0] += classifier.losses(logits.float(), factors) * len(batch)
        domain_of = to_device(images.domains(batch), placement)
        for place in range(len(domains)):
            rows = domain_of == place
            sums[1 + place] += classifier.hits(logits[rows], factors[rows])
    sums = distributed.sum_over_processes(sums)
    row = _row("held_out_loss", names, sums[0] / len(numbers))
    row |= _accuracies("accuracy_", names, sums[1:].sum(0) / len(numbers))
    if len(domains) > 1:
        counts = np.bincount(images.domains(numbers), minlength=len(domains))
        for domain, hits, count in zip(domains, sums[1:], counts.tolist(), strict=True):
            row |= _accuracies(f"accuracy_on_{domain}/", names, hits / count)
    return row


def _accuracies(start: str, names: Sequence[str], values: Tensor) -> dict[str, float]:
    return {f"{start}{name}": value for name, value in zip(names, values.tolist(), strict=True)}


def _unfreeze(classifier: FactorClassifier, optimizer: torch.optim.Optimizer, lr: float) -> None:
    classifier.set_backbone_learning(True)
    optimizer.add_param_group({"params": classifier.backbone.parameters(), "lr": lr})


def _row(kind: str, names: Sequence[str], losses: Tensor) -> dict[str, float]:
    by_factor = {f"{kind}_{name}": float(loss) for name, loss in zip(names, losses, strict=True)}
    return {kind: float(losses.sum()), **by_factor}


def _note(epoch: int, names: Sequence[str], losses: Tensor) -> str:
    """The text beside the progress bar."""
    by_factor = (f"{name} {loss:.3f}" for name, loss in zip(names, losses.tolist(), strict=True))
    return f"epoch {epoch + 1}, losses: {', '.join(by_factor)}"
