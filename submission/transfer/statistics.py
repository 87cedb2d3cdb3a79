"""Batch norms with the statistics of another domain (AdaBN, Li et al., arXiv 1603.04779)."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def measure_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Sets mean and variance of each batch norm to their averages over batches of images.

    The network is left in evaluation mode.

    Args:
        network: Changed in place. Only its batch norms are put into training mode.
        batches: Images (n, 3, height, width) in [0, 1] of the new domain; at least one batch.
    """
    network.eval()
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
    for position, images in enumerate(batches):
        for norm in norms:
            norm.momentum = 1 / (position + 1)  # the average of all batches until now
        network(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
