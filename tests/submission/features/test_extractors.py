"""Which weights an extractor gets, and what is said when they are not there."""

import json
from collections import OrderedDict
from pathlib import Path

import gin
import pytest
import torch

from evaluation.common.errors import KitError
from evaluation.common.files import sha256_of
from submission.features.aggregation import AggregatedFeatureExtractor
from submission.features.backbones import Backbone, build_network
from submission.features.extractors import checkpoint_path, get_feature_extractor, load_checkpoint

BLOCKS = ([8, 4], [1, 2], [1, 1], [0, 0])
IMAGENET_FILES = {"VGG11": "vgg11_bn-6002323d.pth", "VGG19": "vgg19_bn-c79401a0.pth"}


@pytest.fixture(autouse=True)
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    # A network that is not there, whatever the machine's is like.
    for variable in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    return tmp_path


@pytest.fixture(scope="module")
def extractor() -> AggregatedFeatureExtractor:
    torch.manual_seed(5)
    backbone = Backbone("VGG11", build_network("VGG11"), (64, 64))
    return AggregatedFeatureExtractor(backbone, *BLOCKS, l2_normalize=True).eval()


@pytest.fixture
def config() -> None:
    gin.bind_parameter("AggregatedFeatureExtractor.features", BLOCKS[0])
    gin.bind_parameter("AggregatedFeatureExtractor.kernel_sizes", BLOCKS[1])
    gin.bind_parameter("AggregatedFeatureExtractor.strides", BLOCKS[2])
    gin.bind_parameter("AggregatedFeatureExtractor.paddings", BLOCKS[3])
    gin.bind_parameter("AggregatedFeatureExtractor.l2_normalize", True)


def test_imagenet_weights_come_from_torch_home(torch_home: Path) -> None:
    network = build_network("VGG11")
    path = torch_home / "hub" / "checkpoints" / IMAGENET_FILES["VGG11"]
    path.parent.mkdir(parents=True)
    torch.save(network.state_dict(), path)
    found = get_feature_extractor("VGG11", (32, 32), stage=2)
    expected = Backbone("VGG11", network, (32, 32), 2).eval()
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(found(images), expected(images))


def test_absent_imagenet_weights_are_named_with_their_place(torch_home: Path) -> None:
    with pytest.raises(KitError, match="EXTRACTOR-IMAGENET") as caught:
        get_feature_extractor("VGG11")
    assert str(torch_home / "hub" / "checkpoints" / IMAGENET_FILES["VGG11"]) in str(caught.value)
    assert "https://download.pytorch.org/models/" in caught.value.remedy


def test_a_spoilt_file_of_imagenet_weights_is_refused(torch_home: Path) -> None:
    path = torch_home / "hub" / "checkpoints" / IMAGENET_FILES["VGG11"]
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not weights")
    with pytest.raises(KitError, match="are not a file of weights"):
        get_feature_extractor("VGG11")


@pytest.mark.usefixtures("config")
def test_a_fine_tuned_extractor_is_found_under_the_originals_name(
    torch_home: Path, extractor: AggregatedFeatureExtractor
) -> None:
    assert checkpoint_path(extractor) == torch_home / "AggVGG11_64x64.pth"
    torch.save(extractor.state_dict(), torch_home / "AggVGG11_64x64.pth")
    found = get_feature_extractor("AggVGG11", (64, 64))
    images = torch.rand(2, 3, 64, 64)
    assert not found.training
    assert torch.equal(found(images), extractor(images))


@pytest.mark.usefixtures("config")
def test_an_absent_fine_tuned_extractor_is_named_with_the_command(torch_home: Path) -> None:
    with pytest.raises(KitError, match="EXTRACTOR-MISSING") as caught:
        get_feature_extractor("AggVGG11", (64, 64))
    assert str(torch_home / "AggVGG11_64x64.pth") in caught.value.problem
    assert "python -m submission finetune CONFIG EXPERIMENT" in caught.value.remedy


@pytest.mark.usefixtures("config")
def test_untuned_extractors_start_from_the_backbones_weights() -> None:
    torch.manual_seed(1)
    found = get_feature_extractor("AggVGG11", (64, 64), pretrained=False, tuned=False)
    torch.manual_seed(1)
    expected = build_network("VGG11")
    assert torch.equal(found.extractor.features[0].weight, expected.features[0].weight)


def test_a_backbone_of_ones_own_is_found_by_its_id(torch_home: Path) -> None:
    torch.manual_seed(2)
    mine = Backbone("VGG11", build_network("VGG11"), (48, 48)).eval()
    torch.save(mine.state_dict(), torch_home / "VGG11_mine_48x48.pth")
    found = get_feature_extractor("VGG11", (48, 48), custom_model_id="mine")
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(found(images), mine(images))
    with pytest.raises(KitError, match=r"VGG11_other_48x48\.pth do not exist"):
        get_feature_extractor("VGG11", (48, 48), custom_model_id="other")


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name,
        lambda name: name.replace("extractor.", "extractor.model."),
        lambda name: f"model.{name}",
    ],
    ids=["as it is", "with the old prefix", "under model"],
)
def test_checkpoints_of_the_original_load(
    extractor: AggregatedFeatureExtractor, tmp_path: Path, rename
) -> None:
    names = {name: rename(name) for name in extractor.state_dict()}
    path = tmp_path / "AggVGG11_64x64.pth"
    torch.save(OrderedDict((names[n], w) for n, w in extractor.state_dict().items()), path)
    fresh = AggregatedFeatureExtractor(Backbone("VGG11", build_network("VGG11"), (64, 64)), *BLOCKS)
    load_checkpoint(fresh, path)
    for name, weight in extractor.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], weight)


def test_a_residual_networks_checkpoint_of_the_original_loads(tmp_path: Path) -> None:
    """The original kept the whole network, classification head and all, as `model`."""
    torch.manual_seed(3)
    network = build_network("ResNet-50")
    state = {f"model.{name}": weight for name, weight in network.state_dict().items()}
    backbone = Backbone("ResNet-50", build_network("ResNet-50"), (64, 64))
    torch.save({**state, "mean": backbone.mean, "std": backbone.std}, tmp_path / "a.pth")
    load_checkpoint(backbone, tmp_path / "a.pth")
    assert torch.equal(backbone.features.conv1.weight, network.conv1.weight)
    assert torch.equal(backbone.features.layer4[2].bn3.weight, network.layer4[2].bn3.weight)


def test_weights_of_another_architecture_are_refused(
    extractor: AggregatedFeatureExtractor, tmp_path: Path
) -> None:
    torch.save(extractor.state_dict(), tmp_path / "a.pth")
    other = AggregatedFeatureExtractor(extractor.extractor, [8], [2], [1], [0])
    with pytest.raises(KitError, match=r"EXTRACTOR-MISMATCH.*aggregator"):
        load_checkpoint(other, tmp_path / "a.pth")


class Malicious:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("/tmp/should-not-exist"),))


@pytest.mark.parametrize("content", [b"", b"text", None], ids=["empty", "text", "code"])
def test_files_that_are_not_weights_are_refused(
    extractor: AggregatedFeatureExtractor, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "a.pth"
    if content is None:
        torch.save({"extractor": Malicious()}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(KitError, match="EXTRACTOR-UNREADABLE"):
        load_checkpoint(extractor, path)


@pytest.mark.parametrize("damage", ["weights", "record", "no record"])
def test_weights_are_compared_with_the_record_beside_them(
    extractor: AggregatedFeatureExtractor, tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "a.pth"
    torch.save(extractor.state_dict(), path)
    record = path.with_suffix(".json")
    record.write_text(json.dumps({"sha256": sha256_of(path), "made_from": {}}))
    load_checkpoint(extractor, path)
    if damage == "weights":
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(content)
    elif damage == "record":
        record.write_text("{")
    else:
        record.write_text("{}")
    with pytest.raises(KitError, match=r"EXTRACTOR-DAMAGED.*a\.pth.*a\.json"):
        load_checkpoint(extractor, path)
