"""Representations that keep state are refused, and knowing an order tells them nothing."""

import math
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import hypergeom

from evaluation.codes import encoding, secret_order
from evaluation.codes.encoding import rows_to_recheck
from evaluation.codes.subjects import open_subject
from evaluation.codes.table import Draws
from evaluation.common.errors import KitError
from evaluation.data.ground_truth import ImageGrid, IndexGrid
from evaluation.grading import grade
from evaluation.representation.finding import find
from evaluation.representation.running import RunningRepresentation
from evaluation.rules import Rules
from evaluation.scores import Report
from tests.evaluation.representation.bad_submissions import Build, dilled, scripted

RULES = Rules(metrics=("mig",))
MEAN = "images.mean((2, 3))"


@pytest.fixture(scope="module")
def small(mini: ImageGrid) -> ImageGrid:
    """The images of the mini with two positions along each axis: 1,152."""
    sizes = (*mini.factor_sizes[:5], 2, 2)
    rows = np.arange(len(mini)).reshape(mini.factor_sizes)[..., :2, :2].reshape(-1)
    return ImageGrid("small", mini.images_at(rows), sizes, mini.factor_names, "small")


def graded(build: Build, data: ImageGrid, folder: Path, rules: Rules = RULES) -> Report:
    (folder / "representation").mkdir(parents=True)
    build(folder / "representation")
    return grade(find(folder)[0], data, rules, folder)


def by_first_sight(answers: NDArray) -> Build:
    """Numbers images as they come, and answers with what belongs to the number."""
    return dilled(
        f"""
        import numpy as np
        answers = np.array({answers.tolist()}, dtype=np.float32)
        numbers = {{}}
        def represent(images):
            return np.stack([
                answers[numbers.setdefault(image.tobytes(), len(numbers)) % len(answers)]
                for image in images
            ])
        """
    )


SCRIPTED_MEMORY = """
    def forward(self, x):
        codes = torch.zeros([x.size(0), 2])
        for i in range(x.size(0)):
            key = str(float(x[i].sum())) + " " + str(float(x[i, :, 20:40, 20:40].sum()))
            if key not in self.numbers:
                self.numbers[key] = len(self.numbers)
            codes[i, 0] = self.numbers[key] % 4
            codes[i, 1] = self.numbers[key] // 288
        return codes
"""
SCRIPTED_COUNTER = """
    def forward(self, x):
        codes = x.mean((2, 3))
        if x.size(0) == 32:
            self.calls.add_(1)
            codes[:, 0] += self.calls % 7
        return codes
"""


def dill_of(body: str, before: str = "") -> Build:
    """A dill whose `represent(images)` is `body`, which may use np, state and `mean`."""
    lines = "\n".join(f"    {line}" for line in body.strip("\n").split("\n"))
    return dilled(
        f"import time\nimport numpy as np\nstate = {{'calls': 0, 'rows': 0}}\n{before}\n"
        f"def represent(images):\n    state['calls'] += 1\n    codes = {MEAN}\n{lines}\n"
        f"    return codes\n"
    )


STATEFUL: dict[str, Build] = {
    "numbers images by first sight": by_first_sight(np.arange(2400).reshape(-1, 2) % 7),
    "a bare counter of calls": dill_of("codes[:, 0] += state['calls'] // 40"),
    "random codes in three rows of every other batch": dill_of(
        """
if len(images) > 20 and state['calls'] % 2:
    codes[4:7] = np.random.normal(size=(3, 3))
"""
    ),
    "one odd row in a hundred and huge codes in a few": dill_of(
        """
codes[codes[:, 0] > np.float32(LARGE)] *= 1e6
if len(images) > 20 and state['calls'] % 3 == 0:
    codes[9] = np.random.normal(size=3)
""".replace("LARGE", "0.55")
    ),
    "random numbers from a fixed seed, remembered by image": dill_of(
        """
for row, image in enumerate(images):
    key = hash(image.tobytes())
    if key not in memory:
        memory[key] = generator.normal(size=3)
    codes[row] += memory[key]
""",
        "memory = {}\ngenerator = np.random.RandomState(0)",
    ),
    "a counter in the state of a random generator": dill_of(
        "codes[:, 0] += 0.1 * generator.randint(2) * (len(images) > 20)",
        "generator = np.random.RandomState(0)",
    ),
    "codes that know the time": dill_of("codes[:, 0] += int(time.monotonic() * 4) % 5 / 10"),
    "codes that know the place in a full batch": dill_of(
        "if len(images) == 32:\n    codes += np.arange(32)[:, None] / 32"
    ),
    "codes that know the neighbours in a full batch": dill_of(
        "if len(images) == 32:\n    codes -= codes.mean(0)"
    ),
    "a state that starts after many calls": dill_of(
        "if state['calls'] > 25:\n    codes[:, 0] += state['calls'] % 2"
    ),
    "honest in whatever looks like a second look": dill_of(
        """
state['rows'] += len(images)
if len(images) == 32 and state['rows'] > 100:
    codes[:, 0] += state['rows'] % 5
"""
    ),
    "normalised by what was seen so far": dill_of(
        """
state['rows'] += len(images)
state['sum'] = state.get('sum', 0) + codes.sum(0)
if state['rows'] > 150:
    codes -= state['sum'] / state['rows']
"""
    ),
    "a memory in a file": dill_of(
        """
with open('memory', 'ab') as stream:
    stream.write(b'x' * (len(images) == 32))
    codes[:, 0] += stream.tell() // 4
"""
    ),
}


@pytest.mark.parametrize("name", STATEFUL)
def test_state_is_refused(name: str, small: ImageGrid, tmp_path: Path) -> None:
    with pytest.raises(KitError) as refused:
        graded(STATEFUL[name], small, tmp_path)
    # The clock decides which check sees first that codes follow it.
    codes = ("REPRESENTATION-STATE", "REPRESENTATION-RANDOM", "REPRESENTATION-BATCH")
    assert refused.value.code in (codes if "time" in name else codes[:2])
    assert not (tmp_path / "scores.json").exists()


@pytest.mark.parametrize("known", ["rising order", "the order of another grading"])
def test_numbers_by_first_sight_score_like_noise(
    known: str, small: ImageGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = np.arange(len(small))
    if known == "the order of another grading":
        asked: list[NDArray] = []
        encode = RunningRepresentation.encode

        def listening(self: RunningRepresentation, images: NDArray[np.uint8]) -> NDArray:
            asked.extend(images)
            return encode(self, images)

        with monkeypatch.context() as patched:
            patched.setattr(RunningRepresentation, "encode", listening)
            graded(dill_of(""), small, tmp_path / "recorder")
        rows = {image.tobytes(): row for row, image in enumerate(small.images_at(order))}
        order = np.array(list(dict.fromkeys(rows[image.tobytes()] for image in asked)))
    attack = by_first_sight(small.factors_of(order))
    lenient = replace(RULES, allow_unstable=True)
    report = graded(attack, small, tmp_path / "attack", lenient)
    score, noise = report.scores["mig"], report.baselines["noise"]["mig"]
    assert score is not None and noise is not None
    assert score < noise + 0.05
    assert [violation.code for violation in report.violations] == ["REPRESENTATION-STATE"]  # type: ignore[union-attr]


@pytest.mark.parametrize("source", [SCRIPTED_MEMORY, SCRIPTED_COUNTER], ids=["memory", "counter"])
def test_state_in_torchscript_is_refused(source: str, small: ImageGrid, tmp_path: Path) -> None:
    with pytest.raises(KitError) as refused:
        graded(scripted(source), small, tmp_path)
    assert refused.value.code == "REPRESENTATION-STATE"


HONEST: dict[str, Build] = {
    "a function of pixels": dill_of(""),
    "codes recorded by the hash of the image": dill_of(
        """
for row, image in enumerate(images):
    digest = hashlib.sha256(image.tobytes()).digest()
    codes[row] = np.frombuffer(digest[:3], dtype=np.uint8)
""",
        "import hashlib",
    ),
    "codes that jump": dill_of("codes = (codes * 20).round()"),
    "a dead dim and a constant one": dill_of("codes[:, 1] = 0; codes[:, 2] = 1e-9 * codes[:, 0]"),
}


@pytest.mark.parametrize("name", HONEST)
def test_a_function_of_the_image_is_graded(name: str, small: ImageGrid, tmp_path: Path) -> None:
    report = graded(HONEST[name], small, tmp_path)
    assert report.violations == []
    assert report.recheck.rows == rows_to_recheck(len(small))  # type: ignore[union-attr]


@pytest.mark.parametrize("rows", [1, 2, 1000, 1001, 6454, 20_000, 1_036_800])
def test_the_sample_finds_one_bad_row_in_a_thousand(rows: int) -> None:
    """With 99 %, and hardly more of them than that takes."""
    bad, enough = math.ceil(rows / 1000), rows_to_recheck(rows)
    assert hypergeom(rows, bad, enough).pmf(0) <= 0.01 + 1e-9
    assert enough < 100 or hypergeom(rows, bad, int(0.98 * enough)).pmf(0) > 0.01


def test_a_code_that_jumps_by_rounding_is_looked_at_again(small: ImageGrid, tmp_path: Path) -> None:
    """One image lies at a jump, and rounding depends on the size of the batch."""
    target = small.images_at(np.array([77]))[0].transpose(2, 0, 1).astype(np.float32)
    total = float((target / np.float32(255)).sum(dtype=np.float64))
    build = dill_of(
        f"at = abs(images.sum((1, 2, 3), dtype=float) - {total!r}) < 1e-9\n"
        "codes[at, 0] += len(images) == 32"
    )
    assert graded(build, small, tmp_path).violations == []


def test_stored_codes_that_were_not_checked_are_checked_later(
    small: ImageGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "representation"
    folder.mkdir()
    STATEFUL["a state that starts after many calls"](folder)
    found = find(tmp_path)[0]
    subject = open_subject(found, RULES)
    draws = Draws(IndexGrid.of(small), RULES.metrics, RULES.all_seeds)
    store = tmp_path / "codes.npz"
    monkeypatch.setattr(encoding, "_SECONDS_BETWEEN_KEEPING", 0.0)  # as if killed before the check
    for _ in range(2):
        with pytest.raises(KitError, match="REPRESENTATION-STATE"):
            subject.codes_of(small, draws, store)
        assert store.exists()


def test_checked_codes_are_not_checked_again(small: ImageGrid, tmp_path: Path) -> None:
    folder = tmp_path / "representation"
    folder.mkdir()
    dill_of("")(folder)
    subject = open_subject(find(tmp_path)[0], RULES)
    few = Draws(IndexGrid.of(small), ("mig",), range(1))
    first = subject.codes_of(small, few, tmp_path / "codes.npz")
    again = subject.codes_of(small, few, tmp_path / "codes.npz")
    assert first.run is not None and first.run.recheck is not None
    assert again.run is not None and again.run.recheck is None
    np.testing.assert_array_equal(first.table.content[1], again.table.content[1])


def test_the_order_depends_on_key_representation_and_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def order(*about: str) -> list[int]:
        return secret_order.generator_for(*about).permutation(1000).tolist()

    first = order("order", "a", "b")
    assert order("order", "a", "b") == first
    for other in (("again", "a", "b"), ("order", "c", "b"), ("order", "a", "c")):
        assert order(*other) != first
    monkeypatch.setattr(secret_order, "_FOLDER", tmp_path / "order")
    assert order("order", "a", "b") != first


def test_graders_that_start_at_once_agree_on_a_private_key(tmp_path: Path) -> None:
    folder = tmp_path / "order"
    with multiprocessing.get_context("fork").Pool(8) as pool:
        keys = set(pool.map(secret_order.key_in, [folder] * 64))
        # Not ended by a signal: their handlers are those of earlier tests in this process.
        pool.close()
        pool.join()
    assert keys == {(folder / "key").read_bytes()}
    assert (folder / "key").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "key"]


@pytest.mark.parametrize("fault", ["cut", "open to others", "another's", "a link"])
def test_a_key_that_is_no_secret_is_made_anew(tmp_path: Path, fault: str) -> None:
    key = secret_order.key_in(tmp_path)
    if fault == "cut":
        (tmp_path / "key").write_bytes(key[:-1])
    elif fault == "another's":
        if os.geteuid() != 0:
            pytest.skip("only root can give a file to another user")
        os.chown(tmp_path / "key", 65534, 65534)
    elif fault == "a link":
        (tmp_path / "key").rename(tmp_path / "of another")
        (tmp_path / "key").symlink_to("of another")
    else:
        (tmp_path / "key").chmod(0o644)
    assert secret_order.key_in(tmp_path) != key
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_where_nothing_can_be_kept_a_key_lasts_for_the_process(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert len(secret_order.key_in(tmp_path / "file" / "folder")) == 32


def test_the_worker_that_encodes_again_gets_what_is_left_of_the_time(
    small: ImageGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = []

    class Watched(RunningRepresentation):
        def __enter__(self) -> "RunningRepresentation":
            allowed.append(self.limits)
            return super().__enter__()

    monkeypatch.setattr(encoding, "RunningRepresentation", Watched)
    report = graded(dill_of("pass"), small, tmp_path)
    first, again = allowed
    assert report.used is not None
    assert first.total_seconds - again.total_seconds == pytest.approx(report.used.wall_seconds)
    assert first.cpu_seconds - again.cpu_seconds == pytest.approx(report.used.cpu_seconds)
