"""The network that fine-tuning trains: an extractor, and one linear head for each factor."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluation.common.errors import KitError
from submission.features.aggregation import AggregatedFeatureExtractor
from submission.features.backbones import Backbone
from submission.features.pixels import Pixels

HEADS = "heads."
"""Beginning of the names of the heads' weights."""


class FactorClassifier(nn.Module):
    """Images (N, 3, H, W) to the logits (N, sum of sizes) of all factors' values, side by side.

    Args:
        extractor: Images to features (N, feature_dims).
        factor_sizes: Number of values of each factor.

    Raises:
        KitError: `FINETUNE-EXTRACTOR`, the extractor has no weights.
    """

    def __init__(self, extractor: AggregatedFeatureExtractor, factor_sizes: Sequence[int]) -> None:
        super().__init__()
        if isinstance(extractor, Pixels):
            raise KitError(
                "FINETUNE-EXTRACTOR",
                f"get_feature_extractor.model_name is '{extractor.name}', which has no weights to "
                "tune",
                "Name a network such as 'AggSmallCNN', or set nothing of `train` and `adapt`",
            )
        self.extractor = extractor
        self.factor_sizes = list(factor_sizes)
        self.heads = nn.ModuleList(nn.Linear(extractor.feature_dims, n) for n in factor_sizes)

    @property
    def backbone(self) -> Backbone:
        return self.extractor.extractor

    def forward(self, images: Tensor) -> Tensor:
        features = self.extractor(images)
        return torch.cat([head(features) for head in self.heads], 1)

    def losses(self, logits: Tensor, factors: Tensor) -> Tensor:
        """The cross entropy (factors,) of each factor, as the mean over the batch.

        Args:
            logits: (N, sum of sizes).
            factors: The right values (N, factors).
        """
        parts = zip(logits.split(self.factor_sizes, 1), factors.T, strict=True)
        return torch.stack([functional.cross_entropy(*part) for part in parts])

    def hits(self, logits: Tensor, factors: Tensor) -> Tensor:
        """For each factor (factors,), the number of images whose likeliest value is right.

        Args:
            logits: (N, sum of sizes).
            factors: The right values (N, factors).
        """
        parts = zip(logits.split(self.factor_sizes, 1), factors.T, strict=True)
        return torch.stack([(part.argmax(1) == values).sum() for part, values in parts])

    def head_weights(self) -> dict[str, Tensor]:
        """The weights of the heads, with names that begin with `HEADS`."""
        return {
            name: weight for name, weight in self.state_dict().items() if name.startswith(HEADS)
        }

    def set_backbone_learning(self, learning: bool) -> None:
        """Sets whether the backbone's weights get gradients; see also `train`."""
        self.backbone.requires_grad_(learning)

    def train(self, mode: bool = True) -> "FactorClassifier":
        """As in `nn.Module`, but a backbone that does not learn stays in evaluation mode.

        So its batch norms keep their statistics.
        """
        super().train(mode)
        backbone = self.backbone
        if not any(weight.requires_grad for weight in backbone.parameters()):
            backbone.eval()
        return self
