"""AnnealedVAE's loss: the divergence has to reach a capacity that grows with the steps."""

import torch
from torch import Tensor, nn


class CapacityGap(nn.Module):
    """|KL - C|, where C grows linearly from 0 to `capacity` in `steps` training steps.

    Equation 8 of Burgess et al., "Understanding disentangling in beta-VAE" (arXiv 1804.03599),
    without its weight gamma. The training counts the steps in `steps_made`, a part of the state.

    Args:
        capacity: The largest C, in the unit of the divergence (nats).
        steps: Number of training steps until C has this value.
    """

    steps_made: Tensor

    def __init__(self, capacity: float, steps: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.steps = steps
        self.register_buffer("steps_made", torch.zeros((), dtype=torch.long))

    def forward(self, divergence: Tensor) -> Tensor:
        """The loss, a scalar."""
        return (divergence - self.capacity * (self.steps_made / self.steps).clamp(max=1)).abs()
