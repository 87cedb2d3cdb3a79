"""Stage 2's fine-tuning: from a config to the weights of an extractor in their place.

The extractor learns the factors of datasets whose labels are known (arXiv 2002.12356); `loop` is
how.
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
from submission.finetuning.classifier import FactorClassifier
from submission.finetuning.labelled import LabelledImages
from submission.finetuning.loop import CHECKPOINT, FineTuning, tune
from submission.runtime import checkpoints, curves, distributed
from submission.runtime.precision import PROBE_ROWS, settled
from submission.settings import Main

SCOPE = "finetune"
"""gin scope in which fine-tuning looks names up, so that one config may serve it and `train`."""


def finetune(experiment: str, placement: Placement) -> None:
    """Fine-tunes the extractor of the config in force, and files it where training finds it.

    The curves and the last epoch's state land in `$AICROWD_OUTPUT_PATH/<experiment>/finetuning/`,
    the extractor's weights in `extractors.checkpoint_path`, with a record beside them. Weights
    that were made from the same are used again, and those of another fine-tuning kept under
    another name; a config that says nothing about fine-tuning (no binding of `train`) asks for
    none.

    Raises:
        KitError: the datasets' factors differ, or there are weights in the place of ours that the
            kit did not make.
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
    names = [main.dataset_name] if isinstance(main.dataset_name, str) else main.dataset_name
    grids = [open_dataset(name) for name in names]
    require_colour(grids[0])
    images = LabelledImages(grids)
    classifier = FactorClassifier(extractor, images.factor_sizes)
    probe = (min(main.batch_size, PROBE_ROWS), 3, 64, 64)
    placement = settled("Fine-tuning", classifier, [probe], placement, learning=True)
    learned, held_out = images.split(
        main.dataset_size, main.sequential_dataset, main.test_ratio, main.seed
    )
    made_from = {
        "datasets": [grid.fingerprint for grid in grids],
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
                curves.restore(folder, [] if state is None else state["rows"])
        return
    folder.mkdir(parents=True, exist_ok=True)
    with distributed.only_group(folder):
        if distributed.is_main():
            save_config(folder)
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
            _keep(extractor, path, made_from)
        distributed.barrier()


def _is_made_from(path: Path, made_from: dict[str, Any]) -> bool:
    """Whether the weights at `path` are those that fine-tuning from the same ended with.

    Raises:
        KitError: the file there is not of this kit's making, and would be lost.
    """
    if not path.exists():
        return False
    record = weights_record(path)
    if record is None or record["sha256"] != sha256_of(path):
        beside = path.with_suffix(".json").name
        raise KitError(
            "FINETUNE-FOREIGN",
            f"{path} is not the file that its record, {beside}, describes: one of them is "
            "damaged, or this kit did not write it",
            "Move it away and run the same command again, or set "
            "AggregatedFeatureExtractor.model_id to file ours under a name of its own",
        )
    return bool(record["made_from"] == made_from)


def _keep(extractor: AggregatedFeatureExtractor, path: Path, made_from: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent, path.name):
        if _is_made_from(path, made_from):  # another experiment's run has just written the same
            return
        if path.exists():
            _set_aside(path)
        weights = extractor.state_dict()
        with whole_file(path) as temporary:
            checkpoints.write(
                temporary, {name: weight.cpu().contiguous() for name, weight in weights.items()}
            )
            # Before the weights get their name: weights without a record would count as foreign.
            record = {"made_from": made_from, "sha256": sha256_of(temporary)}
            write_json(path.with_suffix(".json"), {**record, "config": gin_config.effective()})
    console.print(f"Wrote {path}", markup=False)


def _set_aside(path: Path) -> None:
    """Renames weights of another fine-tuning: hours of work, and another experiment's extractor."""
    kept = path.with_stem(f"{path.stem}.{sha256_of(path)[:8]}")
    # The record first and as a copy: weights without a record would count as foreign.
    shutil.copyfile(path.with_suffix(".json"), kept.with_suffix(".json"))
    path.rename(kept)
    console.print(f"Keeping the weights of another fine-tuning as {kept}", markup=False)
