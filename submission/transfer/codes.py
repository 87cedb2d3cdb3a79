"""The representation of the factor heads: one code for each factor."""

import torch
from torch import Tensor, nn

from submission.finetuning.classifier import FactorClassifier


def standard_values(size: int) -> Tensor:
    """The numbers 0 to `size` - 1, shifted and scaled to mean 0 and variance 1 (size,).

    So a code that follows its factor has variance 1, far above the 0.0025 below which the
    FactorVAE metric leaves a code out.
    """
    values = torch.arange(size, dtype=torch.float32)
    spread = float(values.var(correction=0)) ** 0.5
    return (values - values.mean()) / (spread if spread > 0 else 1.0)


class FactorCodes(nn.Module):
    """Images (N, 3, H, W) in [0, 1] to codes (N, factors).

    A code is the expected value of its factor under the softmax of the head's logits, where the
    values count as `standard_values`.

    Args:
        classifier: The extractor with its heads.
    """

    values: Tensor

    def __init__(self, classifier: FactorClassifier) -> None:
        super().__init__()
        self.extractor = classifier.extractor
        self.sizes = classifier.factor_sizes
        self.head = nn.Linear(classifier.extractor.feature_dims, sum(self.sizes))
        with torch.no_grad():
            weights = list(classifier.head_weights().values())
            self.head.weight.copy_(torch.cat(weights[0::2]))
            self.head.bias.copy_(torch.cat(weights[1::2]))
        self.register_buffer("values", torch.cat([standard_values(size) for size in self.sizes]))

    def forward(self, images: Tensor) -> Tensor:
        return self.of_features(self.extractor(images))

    def of_features(self, features: Tensor) -> Tensor:
        """The codes (N, factors) of the extractor's features (N, D)."""
        return self.of_probabilities(self.probabilities(features))

    def probabilities(self, features: Tensor) -> Tensor:
        """Features (N, D) to the probability of each value of each factor (N, sum of sizes)."""
        by_factor = self.head(features).split(self.sizes, 1)
        return torch.cat([logits.softmax(1) for logits in by_factor], 1)

    def of_probabilities(self, probabilities: Tensor) -> Tensor:
        """The codes (N, factors) of the values' probabilities (N, sum of sizes)."""
        weighted = (probabilities * self.values).split(self.sizes, 1)
        return torch.stack([of_factor.sum(1) for of_factor in weighted], 1)
