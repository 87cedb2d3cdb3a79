"""A step of fine-tuning in parts, where memory does not take the batch."""

import pytest
import torch
from torch import Tensor, nn

from evaluation.common.devices import Placement
from submission.features.aggregation import AggregatedFeatureExtractor
from submission.features.backbones import Backbone, build_network
from submission.finetuning.classifier import FactorClassifier
from submission.finetuning.step import add_gradients, parts_of_batches

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = Placement("cpu")


class Full(nn.Module):
    """A device that takes no more than some images: it fails after some of the layers have run."""

    def __init__(self, classifier: FactorClassifier, limit: int) -> None:
        super().__init__()
        self.classifier = classifier
        self.limit = limit
        self.sizes: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        self.sizes.append(len(images))
        logits = self.classifier(images)
        if len(images) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return logits


@pytest.fixture
def classifier() -> FactorClassifier:
    torch.manual_seed(0)
    backbone = Backbone("VGG11", build_network("VGG11"), (16, 16), stage=2)
    extractor = AggregatedFeatureExtractor(backbone, [8, 8], [4, 5], [1, 1], [0, 0])
    return FactorClassifier(extractor, (4, 3))


def gradients(
    classifier: FactorClassifier, limit: int
) -> tuple[Tensor, Tensor, list[Tensor], list[int]]:
    """Losses, gradients, buffers and sizes of a step of 12 images."""
    random = torch.Generator().manual_seed(1)
    images = torch.rand(12, 3, 64, 64, generator=random)
    factors = torch.stack([torch.arange(12) % 4, torch.arange(12) % 3], 1)
    model = Full(classifier, limit)
    losses = add_gradients(model, classifier, images, factors, CPU, parts_of_batches(12))
    flat = [weight.grad.flatten() for weight in classifier.parameters() if weight.grad is not None]
    buffers = [buffer.clone() for buffer in classifier.buffers()]
    return losses, torch.cat(flat), buffers, model.sizes


def test_without_batch_statistics_a_step_in_parts_is_the_same(
    classifier: FactorClassifier, capsys: pytest.CaptureFixture[str]
) -> None:
    classifier.eval()
    whole_losses, whole, _, _ = gradients(classifier, 12)
    assert capsys.readouterr().out == ""
    losses, parts, _, sizes = gradients(classifier, 6)
    assert sizes == [12, 6, 6]
    torch.testing.assert_close(losses, whole_losses)
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-6)
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("The GPU's memory does not take 12 images: from now on the gradients of")
    assert "at most 6" in said


def test_a_failed_try_leaves_no_trace_in_batch_norms(classifier: FactorClassifier) -> None:
    classifier.train()
    state = {name: value.clone() for name, value in classifier.state_dict().items()}
    *_, after_failure, _ = gradients(classifier, 6)
    classifier.load_state_dict(state)
    parts = parts_of_batches(12)
    parts.at_once = 6
    random = torch.Generator().manual_seed(1)
    images = torch.rand(12, 3, 64, 64, generator=random)
    factors = torch.stack([torch.arange(12) % 4, torch.arange(12) % 3], 1)
    add_gradients(classifier, classifier, images, factors, CPU, parts)
    for found, expected in zip(after_failure, classifier.buffers(), strict=True):
        torch.testing.assert_close(found, expected)


def test_a_gpu_that_takes_nothing_ends_the_run(classifier: FactorClassifier) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        gradients(classifier, 0)
