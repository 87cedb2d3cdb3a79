"""Adapts the classifier to images of the target without labels: the training loop.

Before each epoch the network labels all images of the target. It learns these labels on changed
images, and beside them the true labels of the other domains. The random numbers of an epoch depend
only on the run's seed and the epoch's number, as in fine-tuning.
"""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.common.devices import Placement
from evaluation.common.terminal import console, progress
from submission.features.batches import Read, image_batches, to_device
from submission.finetuning.augmentation import Augmenter
from submission.finetuning.classifier import FactorClassifier
from submission.finetuning.labelled import LabelledImages
from submission.finetuning.loop import shuffled, with_labels
from submission.runtime import checkpoints, distributed
from submission.runtime.curves import recording, restore
from submission.transfer.pseudo_labels import pseudo_labels
from submission.transfer.settings import Adaptation
from submission.transfer.statistics import measure_statistics
from submission.transfer.step import Batch, Learner
from submission.transfer.telling_apart import MOST_IMAGES, images_told_apart

CHECKPOINT = "adapted.pt"
_LABELLED = 1
"""Keeps the order of the labelled images apart from that of the target's."""


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
        classifier.load_state_dict(state["classifier"])
        restore(folder, rows)
        return

    untaught = copy.deepcopy(classifier)
    learner = Learner(classifier, adaptation, placement)
    if state is not None:
        console.print(
            f"Reusing {len(rows)} of {adaptation.epochs} epochs from {path}", markup=False
        )
        classifier.load_state_dict(state["classifier"])
        learner.optimizer.load_state_dict(state["optimizer"])
    total, done = adaptation.epochs * len(target), len(rows) * len(target)
    with recording(folder, rows) as record, progress("Adapting", total, done) as advance:
        for epoch in range(len(rows), adaptation.epochs):
            orders = shuffled(np.arange(len(target)), batch_size, seed, epoch)
            own = [target[positions] for positions in distributed.own_rows(orders)]
            labels = pseudo_labels(classifier, read, own, orders, placement)
            stream = np.random.SeedSequence([seed, epoch, _LABELLED]).generate_state(4)
            random_state = np.random.RandomState(stream)
            drawn = [random_state.choice(learned, batch_size) for _ in orders]
            others = with_labels(labelled, drawn, placement)
            seen = image_batches(read, own, placement)
            augment = Augmenter(adaptation.augmentation, seed, epoch, placement)
            classifier.train()
            sums = torch.zeros(2, device=placement.device)
            for step, (positions, images, other) in enumerate(
                zip(orders, seen, others, strict=True)
            ):
                given = to_device(labels[positions], placement)
                done_part = (epoch + step / len(orders)) / adaptation.epochs
                means = learner.learn(Batch(images, given, *other), augment, done_part)
                sums += means * len(positions)
                advance(len(positions), f"epoch {epoch + 1}, loss {float(means[0]):.3f}")
            names = ("self_training_loss", "labelled_loss")
            rows.append(dict(zip(names, (sums / len(target)).tolist(), strict=True)))
            record()
            if distributed.is_main():
                checkpoints.save(
                    path,
                    made_from,
                    rows=rows,
                    finished=False,
                    classifier=classifier.state_dict(),
                    optimizer=learner.optimizer.state_dict(),
                )
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
    # Processors of two kinds may round, and so count, differently. All must do the same.
    is_worse = distributed.any_of_all(before > after, placement)
    if is_worse:
        measure_statistics(untaught, image_batches(read, orders, placement))
        classifier.load_state_dict(untaught.state_dict())
    outcome = "is dropped" if is_worse else "is kept"
    console.print(
        f"Self-training {outcome}: of {sum(map(len, compared)):,} images, {after:,} are told apart "
        f"after it, and {before:,} with the target's statistics alone"
    )
