"""Pixels as features: the same numbers as the grader's images, read row by row."""

import numpy as np
import pytest
import torch

from evaluation.common.errors import KitError
from evaluation.data.ground_truth import ImageGrid
from submission.features.extractors import get_feature_extractor
from submission.features.pixels import Pixels, PixelTable
from submission.finetuning.classifier import FactorClassifier


@pytest.fixture
def dataset() -> ImageGrid:
    images = np.random.RandomState(0).randint(0, 256, (12, 16, 32, 3), np.uint8)
    return ImageGrid("noise", images, (3, 4), ("color", "shape"), fingerprint="0")


def test_rows_are_the_chosen_images(dataset: ImageGrid) -> None:
    indices = np.array([5, 0, 11, 7])
    table = PixelTable(dataset, indices, Pixels((16, 32)))
    assert len(table) == 4 and table.shape == (4, 3, 16, 32) and table.nbytes == 4 * 3 * 16 * 32 * 4
    for rows in (np.array([2, 0, 2]), slice(1, 4), slice(0, 4, 3)):
        expected = dataset.images_at(indices[rows]).astype(np.float32) / np.float32(255)
        found = table[rows]
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected.transpose(0, 3, 1, 2))


def test_other_sizes_are_resized_as_the_exported_extractor_does(dataset: ImageGrid) -> None:
    extractor = get_feature_extractor("Pixels", interpolation_size=(16, 16))
    assert isinstance(extractor, Pixels)
    images = torch.from_numpy(dataset.observations_at(np.arange(12))).permute(0, 3, 1, 2)
    found = PixelTable(dataset, np.arange(12), extractor)[np.arange(12)]
    assert found.shape == (12, 3, 16, 16)
    np.testing.assert_array_equal(found, extractor(images).numpy())
    np.testing.assert_allclose(found, images.numpy().reshape(12, 3, 16, 16, 2).mean(4), atol=1e-6)


def test_pixels_cannot_be_fine_tuned() -> None:
    extractor = get_feature_extractor("Pixels", interpolation_size=(16, 16))
    with pytest.raises(KitError, match=r"FINETUNE-EXTRACTOR.*'Pixels'"):
        FactorClassifier(extractor, [2, 3])
