"""Stage 2's fine-tuning: from a config to a file with the extractor's weights.

The extractor learns to predict the factors of datasets with labels (arXiv 2002.12356). The training
loop is in `loop`.
"""

import hashlib
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gin
import torch

from evaluation.common import gin_config
from evaluation.common.devices import Placement
from evaluation.common.environment import output_path
from evaluation.common.errors import KitError
from evaluation.common.files import locked, sha256_of, whole_file, write_json
from evaluation.common.terminal import console
from evaluation.data import open_dataset
from submission.config import save_config
from submission.features.aggregation import AggregatedFeatureExtractor
from submission.features.backbones import Backbone
from submission.features.extraction import digest_of, require_colour
from submission.features.extractors import checkpoint_path, get_feature_extractor, weights_record
from submission.features.target_labels import refuse_target_among
from submission.finetuning.classifier import FactorClassifier
from submission.finetuning.labelled import LabelledImages
from submission.finetuning.loop import CHECKPOINT, FineTuning, tune
from submission.runtime import checkpoints, curves, distributed
from submission.runtime.precision import PROBE_ROWS, settled
from submission.settings import Main

SCOPE = "finetune"
"""The gin scope of fine-tuning: bindings in this scope do not change the settings of `train`."""


def finetune(experiment: str, placement: Placement) -> None:
    """Fine-tunes the extractor of the current config, and saves it for `train`.

    The curves and the last checkpoint are written to
    `$AICROWD_OUTPUT_PATH/<experiment>/finetuning/`. The extractor's weights are written to
    `extractors.checkpoint_path`, with a record beside them. Weights that were made from the same
    are used again. Weights of another fine-tuning are renamed and kept. If the config has no
    binding of `train`, nothing is done.

    Args:
        experiment: Name of the experiment's folder.
        placement: Where to train. If this machine computes bf16 wrongly, float32 is used, and a
            line says so.

    Raises:
        KitError: the datasets' factors or images differ; `FINETUNE-EXTRACTOR`, the config names an
            extractor without weights; `FINETUNE-FOREIGN`, the kit did not write the weights that it
            would replace.
    """
    if not gin_config.sets("train"):
        console.print("Nothing to fine-tune: the config sets nothing of `train`")
        return
    with gin.config_scope(SCOPE):
        main, tuning = Main(), FineTuning()
        torch.manual_seed(main.seed)
        extractor = get_feature_extractor(tuned=False)
        if isinstance(extractor, Backbone):
            extractor = AggregatedFeatureExtractor(extractor)
    images = open_labelled(main)
    classifier = FactorClassifier(extractor, images.factor_sizes)
    probe = (min(main.batch_size, PROBE_ROWS), 3, 64, 64)
    placement = settled("Fine-tuning", classifier, [probe], placement, learning=True)
    learned, held_out = images.split(
        main.dataset_size, main.sequential_dataset, main.test_ratio, main.seed
    )
    made_from = {
        "datasets": images.fingerprints,
        "images": hashlib.sha256(learned.tobytes() + held_out.tobytes()).hexdigest(),
        "start": digest_of(classifier),
        "train": asdict(tuning),
        "batch_size": main.batch_size,
        "seed": main.seed,
        "precision": placement.precision,
        "torch": str(torch.__version__),
    }
    path = checkpoint_path(extractor)
    folder = output_path() / experiment / "finetuning"
    if _is_made_from(path, made_from):
        console.print(f"Reusing {path}", markup=False)
        if (folder / CHECKPOINT).exists():
            with distributed.only_group(folder):
                state = checkpoints.load(folder / CHECKPOINT, made_from)
                # If the last checkpoint is damaged, the one before knows fewer epochs than the
                # curves.
                if state is not None and len(state["rows"]) == tuning.epochs:
                    curves.restore(folder, state["rows"])
        return
    folder.mkdir(parents=True, exist_ok=True)
    with distributed.only_group(folder):
        if distributed.is_main():
            save_config(folder, images.domain_names)
        tune(
            classifier,
            images,
            learned,
            held_out,
            tuning,
            batch_size=main.batch_size,
            seed=main.seed,
            placement=placement,
            folder=folder,
            made_from=made_from,
        )
        if distributed.is_main():
            _save_weights(classifier, path, made_from, images.domain_names)
        distributed.barrier()


def open_labelled(main: Main) -> LabelledImages:
    """The datasets of `main.dataset_name`.

    Raises:
        KitError: `FINETUNE-DATASETS`, there is none; `FINETUNE-TARGET`, the config adapts to a
            target that is one of them, or shows the same look; or they are missing, not in colour,
            or their factors or images differ.
    """
    names = [main.dataset_name] if isinstance(main.dataset_name, str) else main.dataset_name
    if not names:
        raise KitError(
            "FINETUNE-DATASETS",
            "main.dataset_name is an empty list, so there are no labels to learn",
            "Name one dataset in it, or more",
        )
    # Stage 2's fine-tuning may be for several targets. `train` looks at what its weights learned.
    if gin_config.sets("adapt"):
        refuse_target_among(names)
    grids = [open_dataset(name) for name in names]
    require_colour(grids[0])
    return LabelledImages(grids)


def _is_made_from(path: Path, made_from: dict[str, Any]) -> bool:
    """Whether the weights at `path` are the result of a fine-tuning from the same.

    Raises:
        KitError: `FINETUNE-FOREIGN`, this kit did not write the file, so it must not replace it.
    """
    if not path.exists():
        return False
    record = weights_record(path)
    if record is None or record["sha256"] != sha256_of(path):
        beside = path.with_suffix(".json").name
        raise KitError(
            "FINETUNE-FOREIGN",
            f"{path} does not match its record {beside}: one of them is damaged, or this kit did "
            "not write it",
            "Move it away and run the same command again, or set "
            "AggregatedFeatureExtractor.model_id to give the new weights another name",
        )
    return bool(record["made_from"] == made_from)


def _save_weights(
    classifier: FactorClassifier, path: Path, made_from: dict[str, Any], labels_of: list[str]
) -> None:
    """Writes the weights and their record, and keeps weights of another fine-tuning.

    The weights have the extractor's names. Those of the heads follow, for `transfer`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent, path.name):
        if _is_made_from(path, made_from):  # another experiment has just written the same weights
            return
        if path.exists():
            _set_aside(path)
        weights = {**classifier.extractor.state_dict(), **classifier.head_weights()}
        with whole_file(path) as temporary:
            checkpoints.write(
                temporary, {name: weight.cpu().contiguous() for name, weight in weights.items()}
            )
            # The record comes first: the kit would not accept weights without a record as its own.
            record = {
                "made_from": made_from,
                "labels_of": labels_of,
                "sha256": sha256_of(temporary),
            }
            write_json(path.with_suffix(".json"), {**record, "config": gin_config.effective()})
    console.print(f"Wrote {path}", markup=False)


def _set_aside(path: Path) -> None:
    """Renames weights of another fine-tuning, since another experiment may need them."""
    kept = path.with_stem(f"{path.stem}.{sha256_of(path)[:8]}")
    # The record comes first: the kit would not accept weights without a record as its own.
    shutil.copyfile(path.with_suffix(".json"), kept.with_suffix(".json"))
    path.rename(kept)
    console.print(f"Keeping the weights of another fine-tuning as {kept}", markup=False)
