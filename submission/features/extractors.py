"""Builds the feature extractor that a config names, and loads its weights.

Weights are in `$TORCH_HOME`: ImageNet's in `hub/checkpoints/`, as torchvision stores them, and
fine-tuned ones in `<name>[_<id>]_<height>x<width>.pth`.
"""

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gin
import torch
from torch import Tensor, nn
from torchvision.models import get_model_weights

from evaluation.common.environment import torch_home
from evaluation.common.errors import KitError
from evaluation.common.files import sha256_of
from evaluation.common.terminal import console
from submission.features.aggregation import AggregatedFeatureExtractor, Extractor
from submission.features.backbones import BUILDERS, SMALL_CNNS, Backbone, build_network
from submission.features.pixels import PIXELS, Pixels
from submission.features.target_labels import refuse_weights_of_target

_SECONDS_TO_ANSWER = 10.0
_LONG_LINE = 200


@gin.configurable(denylist=["tuned"])
def get_feature_extractor(
    model_name: str = "VGG19",
    interpolation_size: tuple[int, int] = (224, 224),
    stage: int | None = None,
    pretrained: bool = True,
    custom_model_id: str | int | None = None,
    tuned: bool = True,
) -> Extractor:
    """The extractor in evaluation mode, on the CPU.

    Args:
        model_name: A name in `backbones.BUILDERS` or `SMALL_CNNS`. With "Agg" before it, a
            fine-tuned extractor with learned aggregation. Or Pixels: the images themselves, for
            which only `interpolation_size` counts.
        interpolation_size: Height and width that images are resized to.
        stage: The backbone is cut after this stage; None uses the whole backbone.
        pretrained: Whether a backbone gets ImageNet's weights. If not, it gets random ones.
        custom_model_id: If given, the backbone gets the weights of the checkpoint
            `<model_name>_<id>`.
        tuned: With "Agg", whether to load the fine-tuned weights. If not, the extractor has the
            weights that fine-tuning starts from.

    Raises:
        KitError: unknown name or stage, or the weights are missing or do not fit.
    """
    if model_name == PIXELS:
        return Pixels(interpolation_size).eval()
    backbone_name = model_name.removeprefix("Agg")
    network = build_network(backbone_name)
    name = backbone_name if custom_model_id is None else f"{backbone_name}_{custom_model_id}"
    is_aggregated = model_name != backbone_name
    is_tuned = is_aggregated and tuned
    if pretrained and custom_model_id is None and not is_tuned:
        network.load_state_dict(_imagenet_weights(backbone_name))
    backbone = Backbone(name, network, interpolation_size, stage)
    if custom_model_id is not None and not is_tuned:
        load_checkpoint(backbone, checkpoint_path(backbone))
    if not is_aggregated:
        return backbone.eval()
    extractor = AggregatedFeatureExtractor(backbone)
    if is_tuned:
        load_checkpoint(extractor, checkpoint_path(extractor))
    return extractor.eval()


def checkpoint_path(extractor: Extractor) -> Path:
    """The file of an extractor's weights, with the name that the original code uses."""
    height, width = extractor.interpolation_size
    return torch_home() / f"{extractor.name}_{height}x{width}.pth"


def weights_record(path: Path) -> dict[str, Any] | None:
    """The record that fine-tuning wrote beside the weights at `path`; None if absent or damaged."""
    try:
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_record = isinstance(record, dict) and {"sha256", "made_from"} <= record.keys()
    return record if is_record else None


def labels_of(extractor: Extractor) -> list[str]:
    """The datasets whose labels an extractor's weights have learned, as far as a record says so."""
    if not isinstance(extractor, AggregatedFeatureExtractor):
        return []
    record = weights_record(checkpoint_path(extractor))
    return [] if record is None else list(record.get("labels_of", ()))


def load_checkpoint(extractor: nn.Module, path: Path) -> None:
    """Loads weights that fine-tuning saved: that of this kit, or that of the original of 2019.

    If there is a record beside the weights, they must match it. The original's have no record.

    Raises:
        KitError: `EXTRACTOR-MISSING`, no such file; `EXTRACTOR-DAMAGED`, the weights do not match
            their record; `EXTRACTOR-TARGET`, they have learned labels of the target;
            `EXTRACTOR-UNREADABLE`, not a file of weights; `EXTRACTOR-MISMATCH`, weights of another
            architecture.
    """
    if not path.exists():
        raise KitError(
            "EXTRACTOR-MISSING",
            f"the fine-tuned weights {path} do not exist",
            "Run `python -m submission finetune CONFIG EXPERIMENT`, or put the file there",
        )
    beside = path.with_suffix(".json")
    if beside.exists():
        record = weights_record(path)
        if record is None or record["sha256"] != sha256_of(path):
            raise KitError(
                "EXTRACTOR-DAMAGED",
                f"{path} does not match its record {beside.name}: one of them is damaged or was "
                "replaced",
                "Move both away and run `python -m submission finetune` again; if these weights "
                "are your own, remove the record",
            )
        refuse_weights_of_target(path, record.get("labels_of", ()))
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = _in_our_names(state, extractor.state_dict())
    except Exception as error:  # torch.load raises exceptions of many kinds
        raise KitError(
            "EXTRACTOR-UNREADABLE",
            f"{path} is not a file of weights that can be loaded safely: {error}",
            "Put a file of weights (a state dict) there",
        ) from None
    try:
        extractor.load_state_dict(state)
    except RuntimeError as error:
        raise KitError(
            "EXTRACTOR-MISMATCH",
            f"{path} holds weights of another architecture: {_first_line(error)}",
            "Give get_feature_extractor and AggregatedFeatureExtractor in the config the same "
            "settings as in the fine-tuning",
        ) from None


def _first_line(error: RuntimeError) -> str:
    line = str(error).splitlines()[1].strip()
    return line if len(line) < _LONG_LINE else f"{line[:_LONG_LINE]}…"


def _in_our_names(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The part of a state dict of the original that our module has, with our names.

    The original named some backbones `model.…`, and stored their layers after the cut and their
    classification head, too.
    """
    ours = {}
    for name, tensor in state.items():
        plain = name.replace("model.", "")
        prefix = "extractor." if plain.startswith("extractor.") else ""
        tapped = f"{prefix}features.{plain.removeprefix(prefix)}"
        known = next((key for key in (name, plain, tapped) if key in wanted), None)
        if known is not None or plain.startswith("aggregator."):
            ours[known or plain] = tensor
    return ours


def _imagenet_weights(model_name: str) -> Mapping[str, Tensor]:
    """ImageNet's weights in torchvision's first version, downloaded if they are missing."""
    if model_name in SMALL_CNNS:
        raise KitError(
            "EXTRACTOR-IMAGENET",
            f"there are no ImageNet weights of {model_name}",
            "Set get_feature_extractor.pretrained = False for random weights",
        )
    weights = get_model_weights(BUILDERS[model_name])["IMAGENET1K_V1"]
    path = torch_home() / "hub" / "checkpoints" / weights.url.rpartition("/")[2]
    if not path.exists():
        console.print(f"Downloading {weights.url} to {path.parent}")
    try:
        with _network_timeout(_SECONDS_TO_ANSWER):
            return weights.get_state_dict(
                model_dir=str(path.parent), check_hash=True, weights_only=True
            )
    except Exception as error:  # an error of torch.load or of the network
        state = "are not a file of weights" if path.exists() else "could not be downloaded"
        raise KitError(
            "EXTRACTOR-IMAGENET",
            f"the ImageNet weights of {model_name}, {path}, {state}: {error}",
            f"Put the file {weights.url} there, or set get_feature_extractor.pretrained = False "
            "for random weights",
        ) from None


@contextmanager
def _network_timeout(seconds: float) -> Iterator[None]:
    """Gives sockets a timeout within the block: torch.hub alone would wait without end."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
