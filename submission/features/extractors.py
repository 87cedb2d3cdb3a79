"""The feature extractor that a config names, with its weights.

Weights lie under `$TORCH_HOME`: ImageNet's where torchvision keeps them, `hub/checkpoints/`, and
fine-tuned ones directly, as `<name>[_<id>]_<height>x<width>.pth`.
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
from submission.features.backbones import BUILDERS, Backbone, build_network

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
        model_name: A backbone (`backbones.BUILDERS`), or "Agg" and a backbone for a fine-tuned
            extractor with learned aggregation.
        interpolation_size: Height and width that images are resized to.
        stage: Stage after which the backbone is cut; None takes it whole.
        pretrained: Whether a backbone gets ImageNet's weights rather than random ones.
        custom_model_id: Loads the backbone `<model_name>_<id>` from its own checkpoint instead.
        tuned: With "Agg", whether to load the fine-tuned weights, rather than begin with those
            that fine-tuning begins with.

    Raises:
        KitError: unknown name or stage, or weights that are missing or do not fit.
    """
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
    """Where the weights of an extractor are filed, under the original's names."""
    height, width = extractor.interpolation_size
    return torch_home() / f"{extractor.name}_{height}x{width}.pth"


def weights_record(path: Path) -> dict[str, Any] | None:
    """What fine-tuning wrote beside the weights at `path`; None if it is absent or damaged."""
    try:
        record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    is_record = isinstance(record, dict) and {"sha256", "made_from"} <= record.keys()
    return record if is_record else None


def load_checkpoint(extractor: nn.Module, path: Path) -> None:
    """Loads weights saved by fine-tuning, here or in the original of 2019.

    Raises:
        KitError: no such file, not a file of weights, weights of another architecture, or not
            those that the record beside them describes. The original's have no record.
    """
    if not path.exists():
        raise KitError(
            "EXTRACTOR-MISSING",
            f"the fine-tuned weights {path} are not there",
            "Run `python -m submission finetune CONFIG EXPERIMENT`, or put the file there",
        )
    beside = path.with_suffix(".json")
    if beside.exists():
        record = weights_record(path)
        if record is None or record["sha256"] != sha256_of(path):
            raise KitError(
                "EXTRACTOR-DAMAGED",
                f"{path} is not the file that its record, {beside.name}, describes: one of them "
                "is damaged or was exchanged",
                "Move both away and run `python -m submission finetune` again; if these weights "
                "are your own, remove the record",
            )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = _in_our_names(state, extractor.state_dict())
    except Exception as error:  # torch.load raises whatever its unpickler meets
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
            "Make get_feature_extractor and AggregatedFeatureExtractor of the config agree with "
            "those it was fine-tuned with",
        ) from None


def _first_line(error: RuntimeError) -> str:
    line = str(error).splitlines()[1].strip()
    return line if len(line) < _LONG_LINE else f"{line[:_LONG_LINE]}…"


def _in_our_names(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of the original with the names and the parts that ours has.

    It kept some backbones as `model.…`, with layers beyond the cut and the classification head.
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
    """ImageNet's weights as torchvision first published them, downloaded if need be."""
    weights = get_model_weights(BUILDERS[model_name])["IMAGENET1K_V1"]
    path = torch_home() / "hub" / "checkpoints" / weights.url.rpartition("/")[2]
    if not path.exists():
        console.print(f"Downloading {weights.url} to {path.parent}")
    try:
        with _network_timeout(_SECONDS_TO_ANSWER):
            return weights.get_state_dict(
                model_dir=str(path.parent), check_hash=True, weights_only=True
            )
    except Exception as error:  # torch.load's errors, or those of the network
        state = "are not a file of weights" if path.exists() else "could not be downloaded"
        raise KitError(
            "EXTRACTOR-IMAGENET",
            f"the ImageNet weights of {model_name}, {path}, {state}: {error}",
            f"Put {weights.url} there, or set get_feature_extractor.pretrained = False for random "
            "weights",
        ) from None


@contextmanager
def _network_timeout(seconds: float) -> Iterator[None]:
    """Makes a server that does not answer an error: torch.hub would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
