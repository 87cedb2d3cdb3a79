"""The parts that a config describes: the target's images, the labelled ones, and the classifier."""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gin
import numpy as np
import torch
from numpy.typing import NDArray

from evaluation.common.devices import Placement
from evaluation.common.environment import dataset_name
from evaluation.common.errors import KitError
from evaluation.data import open_dataset
from evaluation.data.ground_truth import ImageGrid
from submission.features.backbones import Backbone
from submission.features.extraction import digest_of, require_colour, select_images
from submission.features.extractors import checkpoint_path, get_feature_extractor
from submission.finetuning.classifier import HEADS, FactorClassifier
from submission.finetuning.labelled import LabelledImages
from submission.finetuning.run import SCOPE, open_labelled
from submission.runtime.precision import PROBE_ROWS, settled
from submission.settings import Main
from submission.transfer.settings import Adaptation
from submission.vae.settings import VAETraining


@dataclass
class TransferMethod:
    """The parts of the method, on the CPU.

    Args:
        main: The settings of `main`.
        features_dir: Folder of cached features; None keeps features in memory.
        adaptation: The settings of `adapt`.
        target: The dataset without labels.
        chosen: Numbers (n,) of its images to train on.
        labelled: The datasets with labels.
        learned: Numbers (m,) of their images to train on.
        classifier: The extractor with its heads.
        placement: Device, and a precision that this machine computes correctly.
    """

    main: Main
    features_dir: Path | None
    adaptation: Adaptation
    target: ImageGrid
    chosen: NDArray[np.int64]
    labelled: LabelledImages
    learned: NDArray[np.int64]
    classifier: FactorClassifier
    placement: Placement
    made_from: dict[str, Any]
    """All that the adapted classifier depends on, and nothing of further codes."""


def prepare(features_dir: Path, placement: Placement, tuned: bool = True) -> TransferMethod:
    """Builds the parts that the current config describes, for `$AICROWD_DATASET_NAME`.

    Args:
        features_dir: Folder of cached features, used if the config caches them.
        placement: Device, and the precision that the user wants.
        tuned: Whether the classifier gets its tuned weights. If not, it gets the weights that
            fine-tuning starts from.

    Raises:
        KitError: `TRANSFER-EXTRACTOR`, the config names an extractor without learned aggregation;
            `TRANSFER-HEADS`, the tuned weights have no fitting heads; `TRANSFER-FACTORS`, the
            target has other factors than the labels; `TRANSFER-IMAGES`, it would be adapted to one
            image; further codes need a VAE that does not fit the features; or the data or the
            weights are missing or do not fit together.
    """
    main, adaptation = Main(), Adaptation()
    with gin.config_scope(SCOPE):
        labelling = Main()
        labelled = open_labelled(labelling)  # first: to open a target may be to render it
    target = open_dataset(dataset_name())
    require_colour(target)
    learned, _ = labelled.split(
        labelling.dataset_size,
        labelling.sequential_dataset,
        labelling.test_ratio,
        labelling.seed,
    )
    chosen = select_images(len(target), main.dataset_size, main.sequential_dataset, main.seed)
    _refuse_misfits(target, labelled, chosen)
    torch.manual_seed(main.seed)
    classifier = _classifier(labelled, tuned)
    if adaptation.further_codes:
        # Built only to be refused, if its settings do not fit, before hours of adaptation.
        VAETraining().build((classifier.extractor.feature_dims,))
    probe = (min(main.batch_size, PROBE_ROWS), *target.image_format.channels_first)
    placement = settled("The adaptation", classifier, [probe], placement, learning=True)
    made_from = {
        "target": target.fingerprint,
        "target_images": _digest(chosen),
        "labelled": labelled.fingerprints,
        "labelled_images": _digest(learned),
        "classifier": digest_of(classifier),
        "adapt": {
            name: value for name, value in asdict(adaptation).items() if name != "further_codes"
        },
        "batch_size": main.batch_size,
        "seed": main.seed,
        "precision": placement.precision,
        "torch": str(torch.__version__),
    }
    return TransferMethod(
        main,
        features_dir if main.cache_features_on_disk else None,
        adaptation,
        target,
        chosen,
        labelled,
        learned,
        classifier,
        placement,
        made_from,
    )


def _refuse_misfits(target: ImageGrid, labelled: LabelledImages, chosen: NDArray[np.int64]) -> None:
    if target.factor_names != labelled.factor_names:
        raise KitError(
            "TRANSFER-FACTORS",
            f"{target.name} has the factors {', '.join(target.factor_names)}, but the labels are "
            f"of {', '.join(labelled.factor_names)}",
            "Give main.dataset_name datasets with the factors of the target",
        )
    if len(chosen) == 1:
        raise KitError(
            "TRANSFER-IMAGES",
            "main.dataset_size is 1, but the statistics of batch norms need two images",
            "Set it to 2 or more, or to 0 for all",
        )


def _digest(numbers: NDArray[np.int64]) -> str:
    return hashlib.sha256(numbers.tobytes()).hexdigest()


def _classifier(labelled: LabelledImages, tuned: bool) -> FactorClassifier:
    with gin.config_scope(SCOPE):
        extractor = get_feature_extractor(tuned=tuned)
    if isinstance(extractor, Backbone):
        raise KitError(
            "TRANSFER-EXTRACTOR",
            f"get_feature_extractor.model_name is '{extractor.name}', which has no heads",
            f"Write 'Agg{extractor.name}' for the fine-tuned extractor",
        )
    classifier = FactorClassifier(extractor, labelled.factor_sizes)
    if tuned:
        path = checkpoint_path(extractor)
        state = torch.load(path, map_location="cpu", weights_only=True)
        heads = {name: weight for name, weight in state.items() if name.startswith(HEADS)}
        own = classifier.head_weights()
        if {name: weight.shape for name, weight in heads.items()} != {
            name: weight.shape for name, weight in own.items()
        }:
            raise KitError(
                "TRANSFER-HEADS",
                f"{path} has no heads for factors of sizes {labelled.factor_sizes}",
                "Run `python -m submission finetune` with this config",
            )
        classifier.load_state_dict(heads, strict=False)
    return classifier.eval()
