"""Fine-tuning: against a plain loop, through a SIGKILL, in two processes, and what it leaves."""

import csv
import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from evaluation.common.devices import Placement
from evaluation.common.errors import KitError
from evaluation.data.ground_truth import ImageGrid
from evaluation.data.storage.blocks import ArrayInFile
from evaluation.data.storage.stored import open_given
from submission import config
from submission.features.aggregation import AggregatedFeatureExtractor
from submission.features.backbones import Backbone, build_network
from submission.finetuning.classifier import FactorClassifier
from submission.finetuning.labelled import LabelledImages
from submission.finetuning.loop import FineTuning, tune
from submission.finetuning.run import finetune
from submission.runtime import checkpoints

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = Placement("cpu")


def stripes(name: str, shift: int, seed: int) -> ImageGrid:
    """Images whose two factors are the brightness of the left and of the right half."""
    random_state = np.random.RandomState(seed)
    images = random_state.randint(20, size=(12, 64, 64, 3))
    for number in range(12):
        left, right = divmod(number, 3)
        images[number, :, :32] += 60 * left + shift
        images[number, :, 32:] += 80 * right + shift
    return ImageGrid(name, images.astype(np.uint8), (4, 3), ("left", "right"), name)


@pytest.fixture
def images() -> LabelledImages:
    return LabelledImages([stripes("one", 0, 0), stripes("two", 20, 1)])


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return build_network("VGG11")


@pytest.fixture
def make_classifier(network: nn.Module) -> Callable[[], FactorClassifier]:
    state = {name: weight.clone() for name, weight in network.features.state_dict().items()}

    def make() -> FactorClassifier:
        network.features.load_state_dict(state)
        backbone = Backbone("VGG11", network, (16, 16), stage=2)
        torch.manual_seed(0)
        extractor = AggregatedFeatureExtractor(
            backbone, [8, 8], [4, 5], [1, 1], [0, 0], l2_normalize=True
        )
        return FactorClassifier(extractor, (4, 3))

    return make


@pytest.fixture
def run_tune(
    make_classifier: Callable[[], FactorClassifier], images: LabelledImages, tmp_path: Path
) -> Callable[..., tuple[FactorClassifier, list[dict[str, float]]]]:
    """Tunes on 16 of the 24 images, and returns the classifier and the checkpoint's rows."""

    def run(
        folder: Path = tmp_path,
        placement: Placement = CPU,
        made_from: str = "test",
        **options: Any,
    ) -> tuple[FactorClassifier, list[dict[str, float]]]:
        classifier = make_classifier()
        learned, held_out = images.split(0, True, 1 / 3, 1)
        tune(
            classifier,
            images,
            learned,
            held_out,
            FineTuning(**options),
            batch_size=6,
            seed=1,
            placement=placement,
            folder=folder,
            made_from={"name": made_from},
        )
        state = checkpoints.load(folder / "checkpoint.pt", {"name": made_from})
        assert state is not None
        return classifier, state["rows"]

    return run


def plain_optimizer(name: str, weights: list[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    if name == "radam":
        return torch.optim.RAdam(weights, lr, weight_decay=0.01, decoupled_weight_decay=True)
    if name == "adam":
        return torch.optim.Adam(weights, lr, weight_decay=0.01)
    return torch.optim.RMSprop(weights, lr, weight_decay=0.01)


@pytest.mark.parametrize("name", ["radam", "adam", "rmsprop"])
def test_an_epoch_equals_a_plain_loop(run_tune, make_classifier, images, name) -> None:
    """One image after the other, one optimiser for each rate, everything learning at once."""
    tuned, rows = run_tune(
        epochs=1, optimizer_name=name, lr=1e-2, extractor_lr=1e-3, weight_decay=0.01
    )
    classifier = make_classifier().train()
    backbone = list(classifier.backbone.parameters())
    own = {id(weight) for weight in backbone}
    others = [weight for weight in classifier.parameters() if id(weight) not in own]
    optimizers = [plain_optimizer(name, others, 1e-2), plain_optimizer(name, backbone, 1e-3)]
    learned, _ = images.split(0, True, 1 / 3, 1)
    stream = int(np.random.SeedSequence([1, 0]).generate_state(1)[0])
    order = np.random.RandomState(stream).permutation(learned)
    total = 0.0
    for batch in (order[:6], order[6:12], order[12:]):
        pictures = torch.from_numpy(images.images(batch)).permute(0, 3, 1, 2) / 255
        features = classifier.extractor(pictures)
        labels = torch.from_numpy(images.factors(batch))
        loss = sum(
            functional.cross_entropy(head(features), labels[:, factor])
            for factor, head in enumerate(classifier.heads)
        )
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        total += loss.item() * len(batch)
    assert rows[0]["loss"] == pytest.approx(total / 16, rel=1e-4)
    # The first step of adam and rmsprop is the sign of a gradient, which rounding may turn.
    tolerance = {"radam": 1e-4, "adam": 2e-3, "rmsprop": 2e-2}[name]
    for key, weight in classifier.state_dict().items():
        torch.testing.assert_close(
            tuned.state_dict()[key], weight, rtol=1e-3, atol=tolerance, msg=key
        )


def test_it_learns_and_says_how_well(run_tune, images, tmp_path, capsys) -> None:
    classifier, rows = run_tune(epochs=30, optimizer_name="adam", lr=3e-2, extractor_lr=1e-3)
    assert rows[-1]["loss"] < rows[0]["loss"] / 2
    # Accuracy and loss as anyone would measure them.
    _, held_out = images.split(0, True, 1 / 3, 1)
    classifier.eval()
    with torch.no_grad():
        logits = classifier(torch.from_numpy(images.images(held_out)).permute(0, 3, 1, 2) / 255)
    labels = images.factors(held_out)
    for factor, (name, part) in enumerate(
        zip(("left", "right"), logits.split([4, 3], 1), strict=True)
    ):
        right = part.argmax(1).numpy() == labels[:, factor]
        assert rows[-1][f"accuracy_{name}"] == pytest.approx(right.mean())
        for domain, those in (("one", held_out < 12), ("two", held_out >= 12)):
            assert rows[-1][f"accuracy_on_{domain}/{name}"] == pytest.approx(right[those].mean())
        loss = functional.cross_entropy(part, torch.from_numpy(labels[:, factor])).item()
        assert rows[-1][f"held_out_loss_{name}"] == pytest.approx(loss, rel=1e-4)
    assert f"left {rows[-1]['accuracy_left']:.3f}" in capsys.readouterr().out
    with (tmp_path / "stats.csv").open() as stream:
        lines = list(csv.DictReader(stream, delimiter=";"))
    assert [float(line["loss"]) for line in lines] == [row["loss"] for row in rows]
    assert list((tmp_path / "tensorboard").iterdir())


def test_a_checkpoint_of_before_accuracies_by_domain_goes_on(run_tune, tmp_path) -> None:
    run_tune(epochs=1)
    path = tmp_path / "checkpoint.pt"
    state = checkpoints.load(path, {"name": "test"})
    rows = [{name: row[name] for name in row if "/" not in name} for row in state["rows"]]
    parts = {part: state[part] for part in ("classifier", "optimizer")}
    checkpoints.save(path, {"name": "test"}, rows=rows, **parts)
    _, rows = run_tune(epochs=2)
    with (tmp_path / "stats.csv").open() as stream:
        shown = [line["accuracy_on_two/left"] for line in csv.DictReader(stream, delimiter=";")]
    assert shown == ["nan", str(rows[1]["accuracy_on_two/left"])]


def test_bfloat16_stays_near(run_tune, tmp_path) -> None:
    _, rows = run_tune(tmp_path / "a", epochs=3, lr=1e-2)
    _, rough = run_tune(tmp_path / "b", epochs=3, lr=1e-2, placement=Placement("cpu", "bf16"))
    assert rough != rows
    assert rough[-1]["loss"] == pytest.approx(rows[-1]["loss"], rel=0.1)


def test_memory_does_not_grow_with_the_dataset(
    network: nn.Module, tmp_path: Path, resident_bytes: Callable[[], int]
) -> None:
    """A third of a gigabyte of images passes through less than 100 MB."""
    shape = (25_000, 64, 64, 3)
    path = tmp_path / "images.npy"
    mapped = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    images, _ = open_given(
        "many", tmp_path, path, ArrayInFile(mapped.offset, mapped.shape, "uint8")
    )
    grid = ImageGrid("many", images, (500, 50), ("left", "right"), "many")
    backbone = Backbone("VGG11", network, (4, 4), stage=1)
    extractor = AggregatedFeatureExtractor(backbone, [8], [1], [1], [0])
    for _ in range(2):
        grid.images_at(np.arange(2))  # loads what is compiled, which takes its own memory once
    before = resident_bytes()
    tune(
        FactorClassifier(extractor, grid.factor_sizes),
        LabelledImages([grid]),
        np.arange(24_000),
        np.arange(24_000, 25_000),
        FineTuning(epochs=1),
        batch_size=256,
        seed=1,
        placement=CPU,
        folder=tmp_path,
        made_from={},
    )
    assert resident_bytes() - before < 100e6


def test_a_frozen_backbone_stands_still_until_its_epoch(
    run_tune, make_classifier, tmp_path
) -> None:
    start = make_classifier().backbone.state_dict()
    start = {name: value.clone() for name, value in start.items()}
    frozen, _ = run_tune(tmp_path / "a", epochs=2, unfreeze_extractor_epoch=2)
    for name, value in frozen.backbone.state_dict().items():
        assert torch.equal(value, start[name]), name
    thawed, _ = run_tune(tmp_path / "b", epochs=3, unfreeze_extractor_epoch=2, extractor_lr=1e-3)
    for name, value in thawed.backbone.state_dict().items():
        # Ahead of a batch norm a bias has no gradient but rounding, which may be nothing at all.
        if not name.endswith("bias"):
            assert torch.equal(value, start[name]) == (name in ("mean", "std")), name


@pytest.mark.parametrize("unfreeze", [0, 2, 3])
def test_going_on_from_a_checkpoint_leads_to_the_same_weights(run_tune, tmp_path, unfreeze) -> None:
    whole, rows = run_tune(tmp_path / "whole", epochs=4, unfreeze_extractor_epoch=unfreeze)
    part = tmp_path / "part"
    run_tune(part, epochs=2, unfreeze_extractor_epoch=unfreeze)
    resumed, again = run_tune(part, epochs=4, unfreeze_extractor_epoch=unfreeze)
    assert again == rows
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_a_checkpoint_of_another_training_is_not_used(run_tune, tmp_path) -> None:
    _, rows = run_tune(tmp_path, epochs=1)
    _, others = run_tune(tmp_path, epochs=1, lr=1e-2, made_from="another")
    assert others != rows


def test_the_parts_of_a_split_are_apart_and_cover_each_dataset() -> None:
    images = LabelledImages([stripes("one", 0, 0), stripes("two", 20, 1)])
    learned, held_out = images.split(0, True, 0.3, 1)
    assert sorted([*learned, *held_out]) == list(range(24))
    assert [np.sum(held_out // 12 == place) for place in (0, 1)] == [3, 3]
    first, _ = images.split(5, True, 0.0, 1)
    assert sorted(first) == [0, 1, 2, 3, 4, 12, 13, 14, 15, 16]
    drawn, _ = images.split(5, False, 0.0, 1)
    assert len(set(drawn)) == 10
    assert sorted(drawn) != sorted(first)


def test_labelled_images_are_those_of_their_dataset() -> None:
    one, two = stripes("one", 0, 0), stripes("two", 20, 1)
    images = LabelledImages([one, two])
    numbers = np.array([13, 2, 23, 0])
    np.testing.assert_array_equal(
        images.images(numbers), [two.images[1], one.images[2], two.images[11], one.images[0]]
    )
    np.testing.assert_array_equal(images.factors(numbers), [[0, 1], [0, 2], [3, 2], [0, 0]])


def test_datasets_of_other_factors_are_refused() -> None:
    one = stripes("one", 0, 0)
    other = ImageGrid("other", one.images, (3, 4), ("left", "right"), "other")
    with pytest.raises(KitError, match="FINETUNE-FACTORS"):
        LabelledImages([one, other])


CONFIG = """
main.dataset_name = ['mpi3d_sim_toy_mini', 'mpi3d_sim_realistic_mini']
main.dataset_size = 60
main.batch_size = 16
get_feature_extractor.model_name = 'AggVGG11'
get_feature_extractor.stage = 2
get_feature_extractor.pretrained = False
get_feature_extractor.interpolation_size = (16, 16)
AggregatedFeatureExtractor.features = [8]
AggregatedFeatureExtractor.kernel_sizes = [8]
AggregatedFeatureExtractor.strides = [1]
AggregatedFeatureExtractor.paddings = [0]
AggregatedFeatureExtractor.dropout = 0.1
train.epochs = 12
train.unfreeze_extractor_epoch = 1
"""


def finish(process: subprocess.Popen) -> str:
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return output


def test_a_killed_command_goes_on_to_the_same_weights_and_a_third_reuses_them(
    submission: Callable[..., subprocess.Popen], tmp_path: Path
) -> None:
    path = tmp_path / "tuning.gin"
    path.write_text(CONFIG)
    weights = tmp_path / "torch" / "AggVGG11_16x16.pth"

    output = finish(submission("finetune", path, "plain"))
    assert f"Wrote {weights}" in output
    undisturbed = torch.load(weights, weights_only=True)
    record = json.loads(weights.with_suffix(".json").read_text())
    assert len(record["made_from"]["datasets"]) == 2
    assert "AggregatedFeatureExtractor.dropout = 0.1" in record["config"]
    assert (tmp_path / "shared" / "plain" / "finetuning" / "config.gin").exists()

    output = finish(submission("finetune", path, "again"))
    assert f"Reusing {weights}" in output

    weights.unlink()
    killed = submission("finetune", path, "killed")
    checkpoint = tmp_path / "shared" / "killed" / "finetuning" / "checkpoint.pt"
    deadline = time.monotonic() + 120
    while not checkpoint.exists():
        assert time.monotonic() < deadline and killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    assert not weights.exists()
    output = finish(submission("finetune", path, "killed"))
    assert "of 12 epochs from" in output
    for name, weight in torch.load(weights, weights_only=True).items():
        assert torch.equal(weight, undisturbed[name]), name


def test_two_processes_tune_as_one(
    submission: Callable[..., subprocess.Popen], tmp_path: Path
) -> None:
    """The backbone begins to learn half way, and the last batch of an epoch is not full."""
    path = tmp_path / "tuning.gin"
    path.write_text(CONFIG)
    changes = ["train.epochs = 2", "AggregatedFeatureExtractor.dropout = 0"]
    options = [word for change in changes for word in ("--binding", change)]
    curves = []
    for devices in (1, 2):
        model_id = f"AggregatedFeatureExtractor.model_id = {devices}"
        finish(
            submission(
                "finetune",
                path,
                f"on-{devices}",
                *options,
                "--binding",
                model_id,
                "--devices",
                str(devices),
            )
        )
        checkpoint = tmp_path / "shared" / f"on-{devices}" / "finetuning" / "checkpoint.pt"
        curves.append(torch.load(checkpoint, weights_only=True)["rows"])
    for one, two in zip(*curves, strict=True):
        assert two == pytest.approx(one, rel=1e-3)


@pytest.fixture
def run_finetune(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], None]:
    monkeypatch.setenv("AICROWD_OUTPUT_PATH", str(tmp_path / "shared"))
    monkeypatch.setenv("DISENTANGLEMENT_LIB_DATA", str(data_root))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    def run(text: str) -> None:
        path = tmp_path / "tuning.gin"
        path.write_text(text)
        config.load(path)
        finetune("x", CPU)

    return run


def test_weights_that_the_kit_did_not_make_are_not_lost(run_finetune, tmp_path) -> None:
    weights = tmp_path / "torch" / "AggVGG11_16x16.pth"
    weights.parent.mkdir()
    weights.write_bytes(b"precious")
    with pytest.raises(KitError, match="FINETUNE-FOREIGN"):
        run_finetune(CONFIG)
    assert weights.read_bytes() == b"precious"


def test_weights_put_over_ours_and_those_of_another_tuning_are_not_lost(
    run_finetune, tmp_path, capsys
) -> None:
    weights = tmp_path / "torch" / "AggVGG11_16x16.pth"
    one = f"{CONFIG}\ntrain.epochs = 1\nfinetune/main.dataset_size = 20\n"
    run_finetune(one)
    first, record = weights.read_bytes(), weights.with_suffix(".json").read_bytes()
    run_finetune(f"{one}\ntrain.lr = 1e-4\n")
    assert weights.read_bytes() != first
    (kept,) = weights.parent.glob("AggVGG11_16x16.*.pth")
    assert str(kept) in capsys.readouterr().out
    assert (kept.read_bytes(), kept.with_suffix(".json").read_bytes()) == (first, record)

    weights.write_bytes(b"precious")
    with pytest.raises(KitError, match="FINETUNE-FOREIGN"):
        run_finetune(one)
    assert weights.read_bytes() == b"precious"


def test_a_damaged_last_checkpoint_of_a_finished_tuning_costs_no_curves(
    run_finetune, tmp_path
) -> None:
    """The checkpoint before it has one epoch less."""
    config = f"{CONFIG}\ntrain.epochs = 2\nfinetune/main.dataset_size = 20\n"
    run_finetune(config)
    folder = tmp_path / "shared" / "x" / "finetuning"
    curves = (folder / "stats.csv").read_bytes()
    (folder / "checkpoint.pt").write_bytes(b"damaged")
    run_finetune(config)
    assert (folder / "stats.csv").read_bytes() == curves


def test_a_config_that_says_nothing_of_tuning_asks_for_none(run_finetune, tmp_path, capsys) -> None:
    run_finetune("get_feature_extractor.model_name = 'VGG11'\n")
    assert "Nothing to fine-tune" in capsys.readouterr().out
    assert not (tmp_path / "torch").exists()


def test_a_scope_holds_what_fine_tuning_has_of_its_own(run_finetune, tmp_path) -> None:
    run_finetune(f"{CONFIG}\ntrain.epochs = 1\nfinetune/main.dataset_size = 20\n")
    checkpoint = tmp_path / "shared" / "x" / "finetuning" / "checkpoint.pt"
    optimizer = torch.load(checkpoint, weights_only=True)["optimizer"]
    # Twice 16 images of 20 in batches of 16.
    assert {int(state["step"]) for state in optimizer["state"].values()} == {2}
