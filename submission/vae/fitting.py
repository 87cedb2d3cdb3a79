"""Fits the VAE to a table of features: the training loop.

The random numbers of an epoch (order of rows, noise, dropout) depend only on the run's seed and the
epoch's number. So an interrupted training continues with the same results.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from evaluation.common.devices import Placement
from evaluation.common.terminal import console, progress
from submission.runtime import checkpoints, distributed, onednn
from submission.runtime.compiling import compiled_if_long
from submission.runtime.curves import recording, restore
from submission.runtime.graphs import captured_on_gpu
from submission.runtime.precision import settled
from submission.vae.model import VAE
from submission.vae.posterior import code_columns
from submission.vae.rows import Rows, Table
from submission.vae.settings import VAETraining

CHECKPOINT = "checkpoint.pt"


def fit(
    vae: VAE,
    training: VAETraining,
    features: Table,
    *,
    batch_size: int,
    seed: int,
    placement: Placement,
    folder: Path,
    made_from: dict[str, Any],
) -> None:
    """Trains `vae` in place. It continues where an earlier run of this training stopped.

    Args:
        vae: The VAE with its initial weights.
        training: The settings.
        features: (N, *feature_shape).
        batch_size: Rows of a batch, of all processes together.
        seed: Seed of all random numbers.
        placement: Where and in which precision to train. Latents are always float32.
        folder: After every epoch, stats.csv, tensorboard/ and, if it is due, checkpoint.pt are
            written here.
        made_from: All that the result depends on. Only a checkpoint with the same is continued.
    """
    path = folder / CHECKPOINT
    state = checkpoints.load(path, made_from)
    rows: list[dict[str, float]] = [] if state is None else state["rows"]
    steps = training.steps_by_epoch(len(features), batch_size)
    if state is not None:
        console.print(f"Reusing {len(rows)} of {len(steps)} epochs from {path}", markup=False)
        vae.load_state_dict(state["vae"])
    if len(rows) == len(steps):
        restore(folder, rows)
        return

    model = distributed.data_parallel(vae.to(placement.device))
    optimizer = training.optimizer(vae)
    if state is not None:
        optimizer.load_state_dict(state["optimizer"])
    table = Rows(features, placement)
    # One batch, evenly spread over the table, costs no more than a forward pass an epoch.
    looked_at = torch.linspace(0, len(table) - 1, min(batch_size, len(table))).long()
    seen = [min(batch_size * number, len(table)) for number in steps]  # rows of each epoch
    total, done = sum(seen), sum(seen[: len(rows)])
    losses_of_batch = partial(compiled_if_long(batch_losses, total, placement), model, vae)
    with recording(folder, rows) as record, progress("Training the VAE", total, done) as advance:
        for epoch in range(len(rows), len(steps)):
            weights, lr = training.loss_weights_at(epoch), training.lr_at(epoch)
            optimizer.param_groups[0]["lr"] = lr
            sums, gradient_norm = train_epoch(
                vae,
                optimizer,
                losses_of_batch,
                islice(batches(table, batch_size, training.latent_dims, seed, epoch), steps[epoch]),
                weights,
                clip_gradients=training.clip_gradients,
                placement=placement,
                advance=partial(advance, note=_note(rows, epoch, weights["KLD"])),
            )
            means = {name: float(loss) / seen[epoch] for name, loss in sums.items()}
            weighted = {f"weighted_{name}": weights.get(name, 1.0) * means[name] for name in means}
            total_loss = sum(weighted.values())
            rows.append(
                {
                    **means,
                    **weighted,
                    "total_loss": total_loss,
                    "beta": weights["KLD"],
                    "lr": lr,
                    "gradient_norm": float(gradient_norm),
                    **code_columns(vae, table[looked_at]),
                }
            )
            record()
            is_last = len(rows) == len(steps)
            if distributed.is_main() and (is_last or checkpoints.is_due(path)):
                checkpoints.save(
                    path,
                    made_from,
                    rows=rows,
                    vae=vae.state_dict(),
                    optimizer=optimizer.state_dict(),
                )


def load_fitted(
    vae: VAE,
    training: VAETraining,
    count: int,
    *,
    batch_size: int,
    folder: Path,
    made_from: dict[str, Any],
) -> None:
    """Gives `vae` the weights of a finished `fit` with the same arguments.

    Args:
        count: Number of rows of the table.

    Raises:
        KitError: `EXPORT-UNTRAINED`, there is no such training, or it is not finished.
    """
    epochs = len(training.steps_by_epoch(count, batch_size))
    state = checkpoints.load_finished(
        folder / CHECKPOINT, made_from, lambda state: len(state["rows"]) >= epochs
    )
    vae.load_state_dict(state["vae"])


def batches(
    table: Rows, batch_size: int, latent_dims: int, seed: int, epoch: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yields the features (n, ...) and the noise (n, latent_dims) of each batch of an epoch.

    They are the same in every process.
    """
    generator = torch.Generator(table.device).manual_seed(distributed.seed_epoch(seed, epoch))
    order = torch.randperm(len(table), generator=generator, device=table.device)
    for numbers in order.split(batch_size):
        if len(numbers) == 1:
            continue  # Batch norm needs at least two rows to compute a variance.
        shape = (len(numbers), latent_dims)
        yield table[numbers], torch.randn(shape, generator=generator, device=table.device)


def train_epoch(
    vae: VAE,
    optimizer: torch.optim.Optimizer,
    losses_of_batch: Callable[[Tensor, Tensor], dict[str, Tensor]],
    epoch: Iterable[tuple[Tensor, Tensor]],
    weights: Mapping[str, float],
    *,
    clip_gradients: float | None,
    placement: Placement,
    advance: Callable[[int], None],
) -> tuple[dict[str, Tensor], Tensor]:
    """Makes one training step for each batch.

    Args:
        vae: The VAE, trained in place.
        optimizer: Its optimiser.
        losses_of_batch: `batch_losses` of `vae`, compiled or not.
        epoch: For each batch, features (n, *feature_shape) and noise (n, latent_dims).
        weights: Name -> weight of a loss; 1 for losses without an entry.
        clip_gradients: Bound on the absolute value of each entry of the gradients, or None.
        placement: Where and in which precision to train.
        advance: Called with the number of rows after each step.

    Returns:
        Name -> sum of the loss over all rows, and the mean over the steps of the gradients'
        Euclidean norm before they are clipped. Both are on the device.
    """
    vae.train()
    sums: dict[str, Tensor] = {}
    norms: list[Tensor] = []
    # Anew for each epoch, since a graph holds the weights of the losses as they are now.
    step = captured_on_gpu(
        partial(_set_gradients, vae, losses_of_batch, weights, placement),
        vae.parameters(),
        placement,
    )
    for features, noise in epoch:
        losses = step(features, noise)
        gradients = [weight.grad for weight in vae.parameters() if weight.grad is not None]
        norms.append(nn.utils.get_total_norm(gradients))
        if clip_gradients is not None:
            nn.utils.clip_grad_value_(vae.parameters(), clip_gradients)
        optimizer.step()
        vae.reg_loss.count_step()
        for name, loss in losses.items():
            # Summed on the device: reading the number would make a GPU wait after each batch.
            sums[name] = sums.get(name, 0) + loss * len(features)
        advance(len(features))
    return sums, torch.stack(norms).mean()


def _set_gradients(
    vae: VAE,
    losses_of_batch: Callable[[Tensor, Tensor], dict[str, Tensor]],
    weights: Mapping[str, float],
    placement: Placement,
    features: Tensor,
    noise: Tensor,
) -> dict[str, Tensor]:
    """Sets the gradients of the weighted sum of a batch's losses, and returns the losses."""
    with in_precision(placement):
        losses = losses_of_batch(features, noise)
    weighted = [weights.get(name, 1.0) * loss for name, loss in losses.items()]
    vae.zero_grad()
    torch.stack(weighted).sum().backward()
    return {name: loss.detach() for name, loss in losses.items()}


def batch_losses(model: nn.Module, vae: VAE, features: Tensor, noise: Tensor) -> dict[str, Tensor]:
    """The losses of a batch by name, as scalars.

    Args:
        model: `vae`, or its wrapper from `distributed.data_parallel`. Each process runs it on its
            own share of the rows.
        vae: The VAE.
        features: (n, *feature_shape).
        noise: (n, latent_dims), standard normal.
    """
    count = len(features)
    own = distributed.share(count)
    outputs = [distributed.gather_rows(rows, count) for rows in model(features[own], noise[own])]
    return vae.losses(features, *outputs)


def fitting_placement(
    vae: VAE, feature_shape: Sequence[int], latent_dims: int, batch_size: int, placement: Placement
) -> Placement:
    """`placement`, but in float32 if this machine computes the VAE's steps wrongly in bf16."""
    inputs = [(batch_size, *feature_shape), (batch_size, latent_dims)]
    return settled("Training the VAE", vae, inputs, placement, learning=True)


def in_precision(placement: Placement) -> AbstractContextManager:
    """The context in which a forward pass computes in the precision of `placement`."""
    if placement.in_bf16:
        return torch.autocast(placement.kind, torch.bfloat16)
    return onednn.linear_layers(placement)


def _note(rows: list[dict[str, float]], epoch: int, beta: float) -> str:
    """The text beside the progress bar, with the losses of the epoch before."""
    note = f"epoch {epoch + 1}, beta {beta:.4g}"
    if rows:
        note += "".join(f", {name} {rows[-1][name]:.4g}" for name in rows[-1] if name.isupper())
    return note
