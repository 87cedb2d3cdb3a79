"""Adapts the classifier to images of the target without labels: the training loop.

A teacher, whose weights follow the network's (Tarvainen and Valpola, arXiv 1703.01780), labels the
images of the target. The network learns these labels on changed images, and beside them the true
labels of the other domains. The random numbers of an epoch depend only on the run's seed and the
epoch's number, as in fine-tuning.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from evaluation.common.devices import Placement
from evaluation.common.terminal import console, progress
from submission.features.batches import Read, image_batches
from submission.finetuning.augmentation import Augmenter
from submission.finetuning.classifier import FactorClassifier
from submission.finetuning.labelled import LabelledImages
from submission.finetuning.loop import one_cycle, shuffled, with_labels
from submission.runtime import checkpoints, distributed
from submission.runtime.curves import recording, restore
from submission.runtime.optimizers import make_optimizer
from submission.transfer.pseudo_labels import Marginals, self_training_loss, trust
from submission.transfer.settings import Adaptation
from submission.transfer.statistics import measure_statistics
from submission.transfer.telling_apart import MOST_IMAGES, images_told_apart

CHECKPOINT = "adapted.pt"
_LARGEST_GRADIENT = 5.0
"""Longer gradients are shortened. Most are 3 to 5 long. Its gain alone has not been measured."""
_LABELLED = 1
"""Keeps the order of the labelled images apart from that of the target's."""


class Step(NamedTuple):
    """What one step of the adaptation learns from. Images are this process's share."""

    seen: Tensor
    """Images of the target (n, 3, height, width) in [0, 1]."""
    num_seen: int
    """Number of images of the target, of all processes together."""
    pictures: Tensor
    """Images of the other domains, in the same form."""
    factors: Tensor
    """Their factors (m, factors), of all processes together."""


def adapt(
    classifier: FactorClassifier,
    read: Read,
    target: NDArray[np.int64],
    labelled: LabelledImages,
    learned: NDArray[np.int64],
    adaptation: Adaptation,
    *,
    batch_size: int,
    seed: int,
    placement: Placement,
    folder: Path,
    made_from: dict[str, Any],
) -> None:
    """Trains `classifier` in place. It continues where an earlier run of this training stopped.

    After the last epoch, the batch norms have the target's statistics. If self-training leaves a
    network that tells fewer images apart, the one before it is taken, with such batch norms, too.

    Args:
        classifier: The network that fine-tuning has trained.
        read: Reads images of the target by their numbers. Nothing else is known of the target.
        target: The numbers (n,) of the images to use.
        labelled: The images of other domains, with their labels.
        learned: The numbers (m,) of those to use.
        adaptation: The settings.
        batch_size: Images of a batch, of all processes together.
        seed: Seed of all random numbers.
        placement: Where and in which precision to train.
        folder: After every epoch, adapted.pt, stats.csv and tensorboard/ are written here.
        made_from: All that the result depends on. Only a checkpoint with the same is continued.
    """
    # As in fine-tuning: then an epoch gives the same bits again on a GPU, too.
    torch.backends.cudnn.deterministic = True
    path = folder / CHECKPOINT
    state = checkpoints.load(path, made_from)
    rows: list[dict[str, float]] = [] if state is None else state["rows"]
    classifier.to(placement.device).to(memory_format=torch.channels_last)
    if state is not None and state["finished"]:
        console.print(f"Reusing {path}", markup=False)
        restore(folder, rows)
        return

    untaught = copy.deepcopy(classifier)
    learner = _Learner(classifier, adaptation, placement)
    if state is not None:
        console.print(
            f"Reusing {len(rows)} of {adaptation.epochs} epochs from {path}", markup=False
        )
        learner.load(state)
    total, done = adaptation.epochs * len(target), len(rows) * len(target)
    with recording(folder, rows) as record, progress("Adapting", total, done) as advance:
        for epoch in range(len(rows), adaptation.epochs):
            learner.begin(seed, epoch)
            orders = shuffled(target, batch_size, seed, epoch)
            sums = torch.zeros(3, device=placement.device)
            steps = _steps(read, orders, labelled, learned, batch_size, seed, epoch, placement)
            for position, step in enumerate(steps):
                done_part = (epoch + position / len(orders)) / adaptation.epochs
                means = learner.learn(step, done_part)
                sums += means * step.num_seen
                advance(step.num_seen, f"epoch {epoch + 1}, trust {float(means[2]):.3f}")
            names = ("self_training_loss", "labelled_loss", "trust")
            rows.append(dict(zip(names, (sums / len(target)).tolist(), strict=True)))
            record()
            if distributed.is_main():
                checkpoints.save(path, made_from, rows=rows, finished=False, **learner.state())
    # This draws no random numbers that an epoch uses.
    orders = shuffled(target, batch_size, seed, adaptation.epochs)
    own = distributed.own_rows(orders)
    measure_statistics(classifier, image_batches(read, own, placement))
    if adaptation.epochs > 0:
        _take_the_better(classifier, untaught, read, orders, placement)
    if distributed.is_main():
        checkpoints.save(
            path, made_from, rows=rows, finished=True, classifier=classifier.state_dict()
        )


def _take_the_better(
    classifier: FactorClassifier,
    untaught: FactorClassifier,
    read: Read,
    orders: list[NDArray[np.int64]],
    placement: Placement,
) -> None:
    """Gives `classifier` the weights of `untaught` if those tell more images apart."""
    # Not shared among processes: the batch norms of each would see a part of each batch.
    compared = orders[: max(1, MOST_IMAGES // len(orders[0]))]
    measure_statistics(untaught, image_batches(read, compared, placement))
    after, before = (
        images_told_apart(network, image_batches(read, compared, placement))
        for network in (classifier, untaught)
    )
    if before > after:
        measure_statistics(untaught, image_batches(read, orders, placement))
        classifier.load_state_dict(untaught.state_dict())
    outcome = "is dropped" if before > after else "is kept"
    console.print(
        f"Self-training {outcome}: of {sum(map(len, compared)):,} images, {after:,} are told apart "
        f"after it, and {before:,} with the target's statistics alone"
    )


class _Learner:
    """The network, its teacher and its optimiser."""

    def __init__(
        self, classifier: FactorClassifier, adaptation: Adaptation, placement: Placement
    ) -> None:
        self._classifier = classifier
        self._adaptation = adaptation
        self._placement = placement
        self._model = distributed.data_parallel(classifier)
        self._teacher = copy.deepcopy(classifier).requires_grad_(False)
        self._optimizer = make_optimizer("adam", classifier.parameters(), adaptation.lr)
        self._marginals = Marginals(classifier.factor_sizes, placement.device)

    def load(self, state: dict[str, Any]) -> None:
        self._classifier.load_state_dict(state["classifier"])
        self._teacher.load_state_dict(state["teacher"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._marginals.means = [mean.to(self._placement.device) for mean in state["marginals"]]

    def state(self) -> dict[str, Any]:
        return {
            "classifier": self._classifier.state_dict(),
            "teacher": self._teacher.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "marginals": self._marginals.means,
        }

    def begin(self, seed: int, epoch: int) -> None:
        # The teacher's batch norms use the statistics of each batch of the target, too.
        self._classifier.train()
        self._teacher.train()
        strength = self._adaptation.augmentation
        self._augment = Augmenter(strength, seed, epoch, self._placement)

    def learn(self, step: Step, done: float) -> Tensor:
        """One step, after a part `done`, in [0, 1], of the adaptation.

        Returns:
            The loss of the target's images, that of the labelled ones, and the mean trust (3,).
        """
        sizes, count = self._classifier.factor_sizes, len(step.factors)
        for group in self._optimizer.param_groups:
            group["lr"] = self._adaptation.lr * one_cycle(done)
        with torch.no_grad():
            guess = self._logits(self._teacher, step.seen, step.num_seen)
            taught = self._marginals.aligned([part.softmax(1) for part in guess.split(sizes, 1)])
        changed = self._augment(step.seen, step.num_seen)
        logits = self._logits(self._model, changed, step.num_seen)
        unlabelled = self_training_loss(logits.split(sizes, 1), taught)
        changed = self._augment(step.pictures, count)
        logits = self._logits(self._model, changed, count)
        with_labels = self._classifier.losses(logits, step.factors).sum()
        self._optimizer.zero_grad()
        (unlabelled + self._adaptation.labelled_weight * with_labels).backward()
        nn.utils.clip_grad_norm_(self._classifier.parameters(), _LARGEST_GRADIENT)
        self._optimizer.step()
        self._follow()
        sure = torch.stack([trust(of_factor).mean() for of_factor in taught]).mean()
        return torch.stack([unlabelled.detach(), with_labels.detach(), sure])

    def _logits(self, model: nn.Module, images: Tensor, total: int) -> Tensor:
        """The logits (total, sum of sizes) of a batch, of which this process has `images`."""
        kind, in_bf16 = self._placement.kind, self._placement.in_bf16
        with torch.autocast(kind, torch.bfloat16, enabled=in_bf16):
            own = model(images)
        return distributed.gather_rows(own.float(), total)

    @torch.no_grad()
    def _follow(self) -> None:
        pairs = zip(self._teacher.parameters(), self._classifier.parameters(), strict=True)
        for mean, weight in pairs:
            mean.lerp_(weight, self._adaptation.teacher_rate)


def _steps(
    read: Read,
    orders: list[NDArray[np.int64]],
    labelled: LabelledImages,
    learned: NDArray[np.int64],
    batch_size: int,
    seed: int,
    epoch: int,
    placement: Placement,
) -> Iterator[Step]:
    """The steps of an epoch, one for each batch of the target's numbers in `orders`."""
    stream = np.random.SeedSequence([seed, epoch, _LABELLED]).generate_state(4)
    random_state = np.random.RandomState(stream)
    drawn = [random_state.choice(learned, batch_size) for _ in orders]
    others = with_labels(labelled, drawn, placement)
    seen = image_batches(read, distributed.own_rows(orders), placement)
    for order, images, (pictures, factors) in zip(orders, seen, others, strict=True):
        yield Step(images, len(order), pictures, factors)
