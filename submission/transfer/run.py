"""From a config to a representation: the tuned classifier, adapted to the target, and exported."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from evaluation.common import gin_config
from evaluation.common.devices import Placement
from evaluation.common.environment import output_path
from evaluation.common.terminal import console
from submission.config import save_config
from submission.export import export
from submission.runtime import checkpoints, distributed
from submission.transfer.codes import FactorCodes
from submission.transfer.features import target_features
from submission.transfer.further_codes import (
    ExtendedCodes,
    fit_further_codes,
    fitted_further_codes,
    untrained_further_codes,
)
from submission.transfer.loop import CHECKPOINT, adapt
from submission.transfer.method import TransferMethod, prepare
from submission.vae.postprocessing import fit_postprocessing


def train(experiment: str, placement: Placement, *, features_dir: Path) -> None:
    """Adapts the tuned classifier to `$AICROWD_DATASET_NAME`, and exports its codes.

    All files are written to `$AICROWD_OUTPUT_PATH/<experiment>/`. Epochs of an earlier run of the
    same config are used again, even if that run was killed.

    Args:
        experiment: Name of the experiment's folder.
        placement: Where to train. If this machine computes bf16 wrongly, float32 is used, and a
            line says so.
        features_dir: Folder of cached feature tables. Further codes and `postprocess` need one.

    Raises:
        KitError: the config, the data or the weights are missing or do not fit together.
    """
    distributed.report_progress(0.0)
    method = prepare(features_dir, placement)
    names = ", ".join(method.labelled.domain_names)
    console.print(f"Uses the labels of {names}, and none of {method.target.name}", markup=False)
    folder = output_path() / experiment
    folder.mkdir(parents=True, exist_ok=True)
    # A copy is adapted, because under torchrun it gets batch norms of another class.
    adapted = copy.deepcopy(method.classifier)
    with distributed.only_group(folder):
        if distributed.is_main():
            save_config(folder, method.labelled.domain_names)
        adapt(
            adapted,
            method.target.images_at,
            method.chosen,
            method.labelled,
            method.learned,
            method.adaptation,
            batch_size=method.main.batch_size,
            seed=method.main.seed,
            placement=method.placement,
            folder=folder,
            made_from=method.made_from,
        )
        distributed.report_progress(0.9)
        method.classifier.load_state_dict(adapted.state_dict())
        network = _representation(method, partial(fit_further_codes, folder=folder))
        if distributed.is_main():
            _export(method, network, folder / "representation")
    distributed.report_progress(1.0)


def export_trained(experiment: str, placement: Placement, *, features_dir: Path) -> None:
    """Exports the result of a finished `train` with the same arguments.

    Raises:
        KitError: `EXPORT-UNTRAINED`, there is no such training, or it is not finished.
    """
    method = prepare(features_dir, placement)
    folder = output_path() / experiment
    state = checkpoints.load_finished(
        folder / CHECKPOINT, method.made_from, lambda state: bool(state["finished"])
    )
    method.classifier.load_state_dict(state["classifier"])
    network = _representation(method, partial(fitted_further_codes, folder=folder))
    _export(method, network, folder / "representation")


def export_untrained(experiment: str, placement: Placement, *, features_dir: Path) -> None:
    """Exports the same architecture with the weights that fine-tuning starts from.

    Its scores are a baseline: the architecture without any training.
    """
    method = prepare(features_dir, placement, tuned=False)
    codes = FactorCodes(method.classifier)
    network: nn.Module = codes
    if method.adaptation.further_codes:
        network = untrained_further_codes(method, codes, target_features(method))
    _export(method, network, output_path() / experiment / "representation-untrained")


def _representation(
    method: TransferMethod,
    with_further_codes: Callable[[TransferMethod, FactorCodes, Tensor], ExtendedCodes],
) -> nn.Module:
    """The network from images to codes, with the options of the config.

    Args:
        method: The parts of the method, with the adapted classifier.
        with_further_codes: Adds the latents of a VAE; called if the config asks for them.
    """
    codes = FactorCodes(method.classifier)
    postprocesses = gin_config.sets("postprocess")
    if not method.adaptation.further_codes and not postprocesses:
        return codes
    features = target_features(method)
    network: FactorCodes | ExtendedCodes = codes
    if method.adaptation.further_codes:
        network = with_further_codes(method, codes, features)
    if not postprocesses:
        return network
    with torch.no_grad():
        trained = network.eval().of_features(features)
    return nn.Sequential(network, fit_postprocessing(trained.numpy(), method.main.seed))


def _export(method: TransferMethod, network: nn.Module, folder: Path) -> None:
    export(network, folder / "pytorch_model.pt", method.target.image_format.channels_first)
