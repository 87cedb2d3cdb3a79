"""Faults while data are rendered or unpacked, and while representations are graded."""

import json
import os
import random
import signal
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.representation.bad_submissions import dilled
from tests.faults.harness import (
    COUNTS,
    DAMAGES,
    ROUNDS,
    SIGNALS,
    Campaign,
    Disk,
    Phase,
    moments,
    pairs,
)
from tests.faults.processes import command

pytestmark = pytest.mark.faults

NAME = "mpi3d_sim_toy_mini"
IMAGES = f"data/{NAME}/{NAME}.npy"
GIVEN = "data/mpi3d_real/mpi3d_real.npz"
SIZES = (4, 2, 1, 1, 3, 6, 6)
COUNT = int(np.prod(SIZES))
PIXELS = "images[:, :, {}:50:10, 20:50:10].reshape(len(images), -1)"


def prepare(folder: Path) -> None:
    for name, first in (("one", 20), ("other", 30), ("untrained", 10)):
        representation = folder / name / "representation"
        representation.mkdir(parents=True)
        dilled(f"def represent(images):\n  return {PIXELS.format(first)}")(representation)
    write_archive(folder, seed=0)


def write_archive(folder: Path, seed: int) -> None:
    path = folder / GIVEN
    path.parent.mkdir(parents=True, exist_ok=True)
    images = np.random.RandomState(seed).randint(16, size=(COUNT, 64, 64, 3)).astype(np.uint8)
    np.savez_compressed(path, images=images)


def render(folder: Path, colors: tuple[int, ...] = (0, 1, 2, 3)) -> None:
    from evaluation.data.simulated import rendering

    chosen = (colors, *(tuple(range(size)) for size in SIZES[1:]))
    rendering.SELECTIONS["mini"] = chosen
    command("evaluation.data", ["render", NAME, "--data-root", folder / "data"])


def unpack(folder: Path, seed: int | None = None) -> None:
    """Verifies a published set, and unpacks it first where that has not been done."""
    from evaluation.data.sets import mpi3d

    mpi3d.LAYOUTS[COUNT] = SIZES
    if seed is not None:
        write_archive(folder, seed)
    command("evaluation.data", ["verify", "mpi3d_real", "--data-root", folder / "data"])


def grade(folder: Path, seed: int = 0) -> None:
    """Grades two representations beside an untrained one; what is not a time is kept apart."""
    from evaluation.codes import ledger
    from evaluation.data.simulated import rendering

    rendering.SELECTIONS["mini"] = tuple(tuple(range(size)) for size in SIZES)
    ledger._LEDGER = folder / "ledger"
    where = ["--dataset", NAME, "--data-root", folder / "data", "--output", folder / "graded"]
    what = ["--representation", folder / "one", folder / "other"]
    how = ["--baseline", folder / "untrained", "--metrics", "mig,irs", "--seed", str(seed)]
    try:
        command("evaluation", [*what, *where, *how, "--device", "cpu", "--no-page"])
    except SystemExit as ended:
        if ended.code == 0:
            scores = {
                name: json.loads((folder / "graded" / name / "scores.json").read_text())
                for name in ("one", "other")
            }
            kept = {
                name: [report[key] for key in ("scores", "details", "baselines")]
                for name, report in scores.items()
            }
            kept["all"] = json.loads((folder / "graded" / "all_scores.json").read_text())
            (folder / "kept.json").write_text(json.dumps(kept))
        sys.exit(ended.code)


PHASES = [
    Phase("render", render, (IMAGES,), partial(render, colors=(2, 3, 4, 5))),
    Phase("unpack", unpack, ("data/mpi3d_real/*.npy",), partial(unpack, seed=1)),
    Phase("grading", grade, ("kept.json", IMAGES), partial(grade, seed=1), "render"),
]
NAMES = [phase.name for phase in PHASES]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    def environment(folder: Path) -> dict[str, str]:
        return {"AICROWD_OUTPUT_PATH": str(folder / "shared")}

    return Campaign(tmp_path_factory.mktemp("faults"), PHASES, prepare, environment)


@pytest.mark.parametrize(("name", "number"), pairs(NAMES, SIGNALS))
def test_a_signal(campaign: Campaign, name: str, number: signal.Signals, tmp_path: Path) -> None:
    for moment in moments(name, number):
        folder = campaign.before(name, tmp_path / "world")
        campaign.interrupt(name, folder, number, moment)
        campaign.expect_undisturbed(name, folder, f"{number.name}, at {moment:.3f}")


@pytest.mark.parametrize(("name", "fault"), pairs(NAMES, ["full disk"]))
def test_a_full_disk(campaign: Campaign, name: str, fault: str, disk: Disk) -> None:
    for part in moments(name, fault):
        campaign.fill_disk(name, disk, part)


@pytest.mark.parametrize(("name", "damage"), pairs(NAMES, DAMAGES))
def test_a_damaged_file(campaign: Campaign, name: str, damage: str, tmp_path: Path) -> None:
    """Every file that a phase writes in the full campaign, else one of them."""
    written = campaign.undisturbed(name).written
    if ROUNDS == 0:
        written = random.Random(name + damage).sample(written, 1)
    for path in written:
        campaign.damage(name, tmp_path / "world", path, damage)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_images_are_not_graded(campaign: Campaign, damage: str, tmp_path: Path) -> None:
    folder = campaign.before("grading", tmp_path / "world")
    DAMAGES[damage](folder / IMAGES, campaign.undisturbed("render").other / IMAGES)
    campaign.expect_undisturbed("grading", folder, f"images {damage}")


@pytest.mark.parametrize("damage", ["cut", "emptied", "zeroed", "flipped"])
def test_a_damaged_archive_is_refused(campaign: Campaign, damage: str, tmp_path: Path) -> None:
    """Before it was unpacked; afterwards it is not read any more, but where its size changed."""
    folder = campaign.before("unpack", tmp_path / "world")
    whole = (folder / GIVEN).read_bytes()
    DAMAGES[damage](folder / GIVEN, folder)
    ended = campaign.run(unpack, folder)
    assert ended.status == 2
    assert ended.errors.startswith("error[DATA-")
    assert ended.errors.count("\n") == 1
    COUNTS[f"unpack: archive {damage}: refused ({ended.errors[6:].split(']')[0]})"] += 1
    (folder / GIVEN).write_bytes(whole)
    campaign.expect_undisturbed("unpack", folder, f"archive {damage}")


@pytest.mark.parametrize(("name", "fault"), pairs(NAMES, ["two runs"]))
def test_two_runs_at_once(campaign: Campaign, name: str, fault: str, tmp_path: Path) -> None:
    """In one folder."""
    assert fault
    for _ in range(max(ROUNDS, 1)):
        campaign.twice(name, campaign.before(name, tmp_path / "world"))


@pytest.mark.parametrize(("name", "seconds"), pairs(NAMES, [0, 4_000_000_000]))
def test_the_clock_was_set(campaign: Campaign, name: str, seconds: int, tmp_path: Path) -> None:
    """Files that seem to be of long ago, or of the future; what is rendered, damaged as well."""
    folder = campaign.before(name, tmp_path / "world")
    campaign.expect_undisturbed(name, folder, "clock set")
    for damaged in (False, True):
        # Scores that are used again read no image, and unpacking reads what was given.
        if damaged and name == "render":
            DAMAGES["flipped"](folder / IMAGES, folder)
        for path in folder.rglob("*"):
            os.utime(path, (seconds, seconds))
        campaign.expect_undisturbed(name, folder, "clock set")
