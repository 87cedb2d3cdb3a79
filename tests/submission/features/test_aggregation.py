"""Aggregations against loops from their definitions, scikit-learn, and the report's numbers."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import IncrementalPCA
from torch import nn

from evaluation.common.errors import KitError
from submission.features.aggregation import (
    AggregatedFeatureExtractor,
    AverageTransform,
    IdentityTransform,
    MaximumTransform,
    RMACTransform,
    Whitening,
    l2_normalize,
)
from submission.features.backbones import Backbone, build_network


def unit(vector: np.ndarray) -> np.ndarray:
    length = np.sqrt(np.sum(vector**2))
    return vector / length if length > 0 else vector


def regions_of(maps: np.ndarray, kernels: list[int], with_global: bool) -> list[np.ndarray]:
    """Unit vectors of the maxima over each window of one image's maps (C, H, W)."""
    _, height, width = maps.shape
    regions = []
    for kernel in kernels:
        stride = 1 if kernel == 1 else 2
        for top in range(0, height - kernel + 1, stride):
            for left in range(0, width - kernel + 1, stride):
                window = maps[:, top : top + kernel, left : left + kernel]
                regions.append(unit(window.max(axis=(1, 2))))
    if with_global:
        regions.append(unit(maps.max(axis=(1, 2))))
    return regions


@pytest.fixture
def maps() -> torch.Tensor:
    torch.manual_seed(0)
    maps = torch.relu(torch.randn(4, 6, 7, 8))
    maps[1, :, :3] = 0
    maps[2] = 0
    return maps


@pytest.mark.parametrize(
    ("config", "kernels", "with_global"),
    [
        ("1-3-5-G", [1, 3, 5], True),
        ("1-3-5", [1, 3, 5], False),
        ("2-4-7-G", [2, 4, 7], True),
        ("G", [], True),
        ("3", [3], False),
    ],
)
def test_rmac_equals_its_definition(maps, config, kernels, with_global) -> None:
    for normalized in (True, False):
        found = RMACTransform(l2_normalize=normalized, config=config)(maps)
        for image, vector in zip(maps.double().numpy(), found, strict=True):
            expected = np.sum(regions_of(image, kernels, with_global), axis=0)
            expected = unit(expected) if normalized else expected
            np.testing.assert_allclose(vector, expected, rtol=1e-5, atol=1e-6)


def test_whitened_rmac_equals_scikit_learn(maps) -> None:
    regions = np.concatenate([regions_of(image, [1, 3], True) for image in maps.double().numpy()])
    pca = IncrementalPCA(6, whiten=True).fit(regions)
    whitening = Whitening(
        *map(torch.from_numpy, (pca.components_, pca.mean_, pca.explained_variance_))
    )
    np.testing.assert_allclose(
        whitening(torch.from_numpy(regions).float()), pca.transform(regions), rtol=1e-3, atol=1e-4
    )
    found = RMACTransform(config="1-3-G", whitening=whitening)(maps)
    for image, vector in zip(maps.double().numpy(), found, strict=True):
        white = pca.transform(np.stack(regions_of(image, [1, 3], True)))
        expected = unit(np.sum([unit(region) for region in white], axis=0))
        np.testing.assert_allclose(vector, expected, atol=1e-4)


def test_axes_without_variance_give_finite_numbers() -> None:
    whitening = Whitening(torch.eye(3), torch.zeros(3), torch.tensor([1.0, 1e-20, 0.0]))
    assert torch.isfinite(whitening(torch.ones(2, 3))).all()


def test_the_other_transforms(maps) -> None:
    images = maps.numpy()
    np.testing.assert_allclose(IdentityTransform()(maps), images.reshape(4, -1))
    np.testing.assert_allclose(
        AverageTransform(l2_normalize=False)(maps), images.mean((2, 3)), rtol=1e-5, atol=1e-7
    )
    np.testing.assert_allclose(
        MaximumTransform()(maps), [unit(image.max((1, 2))) for image in images], rtol=1e-6
    )
    channels = np.array([[unit(v) for v in im.reshape(6, -1).T] for im in images])
    np.testing.assert_allclose(
        IdentityTransform(l2_normalize=True)(maps),
        channels.transpose(0, 2, 1).reshape(4, -1),
        rtol=1e-6,
    )


def test_zero_vectors_stay_zero() -> None:
    vectors = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert torch.equal(l2_normalize(vectors), torch.tensor([[0.6, 0.8], [0.0, 0.0]]))


def test_a_kernel_larger_than_the_maps_is_refused_with_their_size() -> None:
    with pytest.raises(KitError, match="kernel 3 does not fit maps of 2x2"):
        RMACTransform()(torch.zeros(1, 4, 2, 2))


@pytest.mark.parametrize("config", ["", "1-x", "0-G", "1--3", "g", "1.5"])
def test_a_config_of_another_form_is_refused(config: str) -> None:
    with pytest.raises(KitError, match="RMAC-CONFIG"):
        RMACTransform(config=config)


def vgg(name: str, size: tuple[int, int], stage: int | None = None) -> Backbone:
    torch.manual_seed(0)
    return Backbone(name, build_network(name), size, stage).eval()


def test_the_learned_aggregation_of_the_report() -> None:
    """512x2x2 maps to 512 numbers; weights counted by hand."""
    with torch.device("meta"):
        backbone = Backbone("VGG19", build_network("VGG19"), (64, 64))
    extractor = AggregatedFeatureExtractor(backbone, dropout=0.1, l2_normalize=True)
    count = sum(weight.numel() for weight in extractor.aggregator.parameters())
    assert count == 512 * 1024 + 1024 * 2048 * 4 + 2048 * 512 + 2 * (1024 + 2048 + 512)
    assert [type(layer) for layer in extractor.aggregator] == [
        nn.Dropout2d,
        nn.Conv2d,
        nn.BatchNorm2d,
        nn.ReLU,
    ] * 3
    assert extractor.feature_dims == 512
    assert extractor.name == "AggVGG19"


def test_learned_aggregation_equals_its_layers_one_by_one() -> None:
    backbone = vgg("VGG11", (64, 64))
    extractor = AggregatedFeatureExtractor(
        backbone, [8, 4], [2, 1], [1, 1], [1, 0], l2_normalize=True
    ).eval()
    images = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        maps = backbone(images)
        for conv, norm in ((0, 1), (3, 4)):
            weight = extractor.aggregator[conv].weight
            maps = torch.conv2d(maps, weight, padding=1 if conv == 0 else 0)
            statistics = extractor.aggregator[norm]
            maps = (maps - statistics.running_mean[:, None, None]) / torch.sqrt(
                statistics.running_var[:, None, None] + 1e-5
            )
            maps = torch.relu(maps)
        vectors = maps.reshape(3, -1)
        expected = vectors / vectors.norm(dim=1, keepdim=True)
        torch.testing.assert_close(extractor(images), expected)
    assert extractor.feature_dims == 4 * 3 * 3 == expected.shape[1]


@pytest.mark.parametrize(("pooling", "reduce"), [("avg", torch.mean), ("max", torch.amax)])
def test_pooling_may_be_all_of_it(pooling, reduce) -> None:
    backbone = vgg("VGG11", (64, 64), stage=3)
    extractor = AggregatedFeatureExtractor(backbone, [], [], [], [], pooling=pooling, model_id=7)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            extractor(images), reduce(backbone(images), dim=(2, 3)), rtol=1e-5, atol=1e-6
        )
    assert extractor.feature_dims == 256
    assert extractor.name == "AggVGG11_7"


def test_lists_of_different_lengths_are_refused() -> None:
    with torch.device("meta"):
        backbone = Backbone("VGG11", build_network("VGG11"), (64, 64))
    with pytest.raises(KitError, match="have 2, 1, 2, 2 entries"):
        AggregatedFeatureExtractor(backbone, [8, 8], [1], [1, 1], [0, 0])


def test_kernels_that_do_not_fit_are_refused_with_the_map_size() -> None:
    with torch.device("meta"):
        backbone = Backbone("VGG11", build_network("VGG11"), (64, 64))
    with pytest.raises(KitError, match="maps of VGG11, which are 2x2"):
        AggregatedFeatureExtractor(backbone, [8], [3], [1], [0])


def test_scripted_and_traced_modules_give_the_same() -> None:
    images = torch.rand(3, 3, 32, 32)
    backbone = vgg("VGG11", (32, 32), stage=2)
    for transform in (RMACTransform(config="1-2-G"), MaximumTransform()):
        module = nn.Sequential(backbone, transform).eval()
        with torch.no_grad():
            expected = module(images)
            torch.testing.assert_close(torch.jit.script(module)(images), expected)
            torch.testing.assert_close(torch.jit.trace(module, images[:1])(images), expected)
