"""Studies whose extractor has weights that lie in `$TORCH_HOME`, so that nothing is tuned."""

from pathlib import Path

import pytest
import torch

from submission.features.backbones import Backbone, build_network

HEAD = """
config = "small.gin"
[bindings]
"main.sequential_dataset" = true
"main.dataset_size" = 64
"get_feature_extractor.model_name" = "SmallCNN"
"get_feature_extractor.custom_model_id" = "shared"
"get_feature_extractor.stage" = 1
"""
"""The beginning of such a study; more bindings may follow."""


@pytest.fixture
def with_weights(tmp_path: Path, small_config: Path) -> Path:
    """The folder for such a study, with its config and the weights."""
    leave_weights(tmp_path / "torch")
    assert small_config.parent == tmp_path
    return tmp_path


def leave_weights(torch_home: Path) -> None:
    """Leaves the weights where a study looks for them."""
    backbone = Backbone("SmallCNN_shared", build_network("SmallCNN"), (32, 32), 1)
    torch_home.mkdir(parents=True)
    torch.save(backbone.state_dict(), torch_home / "SmallCNN_shared_32x32.pth")
