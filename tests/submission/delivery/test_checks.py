"""The check before submitting: a good submission is clean, and each fault has its code."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from evaluation.common.files import readable_size, sha256_of
from submission.delivery import bundle, submitting
from submission.delivery.checks import encoder, files, repository
from tests.checkouts import bundle_encoder, git, kit, make_checkout, write_encoder

Spoil = Callable[[Path], object]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with an encoder bundled; not to be changed."""
    folder = make_checkout(tmp_path_factory.mktemp("good"))
    bundle_encoder(folder, tmp_path_factory.mktemp("shared"))
    return folder


@pytest.fixture
def checkout(good: Path, tmp_path: Path) -> Path:
    return shutil.copytree(good, tmp_path / "checkout", symlinks=True)


def codes(root: Path, tag: str = submitting.TAG, remote: str = submitting.REMOTE) -> list[str]:
    """The codes of all that needs no encoder to run."""
    problems = [
        *files.problems(root, to_submit=False),
        *repository.problems(root, tag, remote),
    ]
    return [problem.code for problem in problems]


def edit_json(**values: object) -> Spoil:
    def spoil(root: Path) -> None:
        path = root / "aicrowd.json"
        content = {**json.loads(path.read_text()), **values}
        content = {key: value for key, value in content.items() if value is not None}
        path.write_text(json.dumps(content))

    return spoil


def replace(name: str, old: str, new: str) -> Spoil:
    def spoil(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new), newline="")

    return spoil


def test_this_repository_is_clean(good: Path) -> None:
    result = kit(good, "python", "-m", "submission", "check", "--json")
    assert result.returncode == 0, result.stdout
    report = json.loads(result.stdout)
    assert report["problems"] == []
    cost = report["costs"][0]
    assert (cost["device"], cost["dims"]) == ("cpu", 6)
    assert cost["batches"] >= 11
    assert 0 < cost["milliseconds_per_image"] < 1000
    assert cost["memory_bytes"] > 50e6  # Python and torch alone take more


SPOILED_FILES: dict[str, tuple[Spoil, str]] = {
    "challenge id": (edit_json(challenge_id="aicrowd-neurips-2019"), "AICROWD-ID"),
    "grader id": (edit_json(grader_id="Aicrowd"), "AICROWD-ID"),
    "placeholder": (edit_json(authors=["your-aicrowd-username"]), "AICROWD-AUTHOR"),
    "another": (edit_json(authors=["Jane Doe", "<Author 2>"]), "AICROWD-AUTHOR"),
    "blank author": (edit_json(authors=[" "]), "AICROWD-AUTHOR"),
    "no author": (edit_json(authors=[]), "AICROWD-AUTHOR"),
    "authors as text": (edit_json(authors="someone"), "AICROWD-TYPE"),
    "gpu as text": (edit_json(gpu="true"), "AICROWD-TYPE"),
    "gpu as number": (edit_json(gpu=1), "AICROWD-TYPE"),
    "missing key": (edit_json(description=None), "AICROWD-KEY"),
    "unknown key": (edit_json(GPU=True), "AICROWD-KEY"),
    "no JSON": (lambda root: (root / "aicrowd.json").write_text("{"), "AICROWD-JSON"),
    "a list": (lambda root: (root / "aicrowd.json").write_text("[]"), "AICROWD-JSON"),
    "no aicrowd.json": (lambda root: (root / "aicrowd.json").unlink(), "FILE-ABSENT"),
    "run bit": (lambda root: (root / "run.sh").chmod(0o644), "RUN-BIT"),
    "run bit in git": (
        lambda root: git(root, "update-index", "--chmod=-x", "run.sh"),
        "RUN-BIT",
    ),
    "no UTF-8": (
        lambda root: (root / "Dockerfile").write_bytes(b"# caf\xe9\n"),
        "FILE-ENCODING",
    ),
    "line ends": (replace("run.sh", "\n", "\r\n"), "RUN-LINE-ENDS"),
    "shebang": (replace("run.sh", "#!", "# !"), "RUN-SHEBANG"),
    "root": (replace("Dockerfile", "USER 1001", "USER root"), "DOCKERFILE-USER"),
    "entry": (replace("Dockerfile", "/home/aicrowd/run.sh", "/bin/bash"), "DOCKERFILE-ENTRY"),
    "loose": (replace("requirements.txt", "rich==", "rich>="), "REQUIREMENT-LOOSE"),
    "wildcard": (replace("requirements.txt", "dill==0.4.1", "dill==0.4.*"), "REQUIREMENT-LOOSE"),
    "no pin": (replace("requirements.txt", "dill==0.4.1", "dill"), "REQUIREMENT-LOOSE"),
}


@pytest.mark.parametrize(("spoil", "code"), SPOILED_FILES.values(), ids=SPOILED_FILES)
def test_a_spoiled_file_has_its_code(checkout: Path, spoil: Spoil, code: str) -> None:
    spoil(checkout)
    found = [problem.code for problem in files.problems(checkout, to_submit=False)]
    assert found == [code]


@pytest.mark.parametrize("author", ["Namewee", "user_42x", "李明", "M. Example-Smith"])
def test_a_name_is_no_placeholder(checkout: Path, author: str) -> None:
    edit_json(authors=[author])(checkout)
    assert list(files.problems(checkout, to_submit=True)) == []


def test_the_kits_own_author_does_not_submit(good: Path) -> None:
    found = [problem.code for problem in files.problems(good, to_submit=True)]
    assert found == ["AICROWD-AUTHOR"]


def test_everything_is_told_at_once(checkout: Path) -> None:
    together = ["grader id", "placeholder", "gpu as text", "unknown key", "run bit", "line ends"]
    together += ["root", "entry", "loose"]
    expected = [SPOILED_FILES[name][1] for name in together]
    for name in together:
        SPOILED_FILES[name][0](checkout)
    (checkout / "LICENSE").unlink()
    (checkout / "forgotten.py").touch()
    shutil.rmtree(checkout / "submission/bundle")
    result = kit(checkout, "python", "-m", "submission", "check", "--tag", "v1")
    assert result.returncode == 1
    for code in (*expected, "TREE-DIRTY", "TREE-UNTRACKED", "TAG-NAME", "BUNDLE-ABSENT"):
        assert f"error[{code}]" in result.stdout


def test_what_would_not_be_submitted_is_named(checkout: Path) -> None:
    (checkout / "submission/forgotten.py").touch()
    (checkout / "submission/bundle/notes.txt").touch()
    (checkout / "LICENSE").write_text("changed")
    (checkout / "scratch").mkdir()
    (checkout / "scratch/ignored.txt").touch()
    problems = [str(problem) for problem in repository.problems(checkout, "submission-1", "none")]
    assert len(problems) == 3
    assert "TREE-DIRTY" in problems[0] and "LICENSE" in problems[0]
    assert "TREE-UNTRACKED" in problems[1] and "submission/bundle/notes.txt" in problems[1]
    assert "TREE-UNTRACKED" in problems[2] and "submission/forgotten.py" in problems[2]


def test_tags(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "add", "submission/bundle/manifest.json", "submission/bundle/config.gin")
    git(checkout, "commit", "--quiet", "--message", "Some")
    git(checkout, "tag", "--annotate", "submission-v1", "--message", "First")
    assert codes(checkout, "submission-v2") == []  # the encoder itself is new
    assert codes(checkout, "submission-v1") == ["TAG-TAKEN"]
    assert codes(checkout, "v2") == codes(checkout, "submission-a..b") == ["TAG-NAME"]

    git(checkout, "add", "submission/bundle")
    git(checkout, "commit", "--quiet", "--message", "All")
    assert codes(checkout, "submission-v2") == []
    git(checkout, "tag", "submission-light")
    assert codes(checkout, "submission-v2") == ["COMMIT-EVALUATED"]

    # Somebody else's tags are on the remote only.
    remote = tmp_path / "remote"
    git(tmp_path, "init", "--quiet", "--bare", str(remote))
    git(checkout, "remote", "add", "aicrowd", str(remote))
    git(checkout, "tag", "--annotate", "submission-v2", "--message", "Second")
    git(checkout, "push", "--quiet", "--no-verify", "aicrowd", "submission-v2")
    git(checkout, "tag", "--delete", "submission-light", "submission-v1", "submission-v2")
    assert codes(checkout, "submission-v2") == ["TAG-TAKEN", "COMMIT-EVALUATED"]
    assert codes(checkout, "submission-v2", remote="elsewhere") == []


def test_a_remote_that_does_not_answer_is_one_problem_of_several(checkout: Path) -> None:
    git(checkout, "remote", "add", "aicrowd", str(checkout / "nowhere"))
    git(checkout, "tag", "submission-v1")
    assert codes(checkout) == ["GIT-FAILED", "TAG-TAKEN"]


def test_a_deletion_by_hand_is_not_that_of_bundling(checkout: Path, tmp_path: Path) -> None:
    (checkout / "submission/bundle/notes.txt").write_text("mine")
    git(checkout, "add", "submission/bundle")
    git(checkout, "commit", "--quiet", "--message", "All")
    write_encoder(tmp_path / "other/representation/pytorch_model.pt", dims=3)
    (tmp_path / "other/representation/.pytorch_model.x.pt").touch()  # an export that was killed
    bundle_encoder(checkout, tmp_path, "other")
    config, notes = "submission/bundle/config.gin", "submission/bundle/notes.txt"
    assert repository.changed_bundle(checkout) == [
        config,
        "submission/bundle/manifest.json",
        "submission/bundle/representation/pytorch_model.pt",
    ]
    assert not (checkout / config).exists() and (checkout / notes).read_text() == "mine"
    assert not (checkout / "submission/bundle/representation/.pytorch_model.x.pt").exists()
    (checkout / notes).unlink()
    assert notes not in repository.changed_bundle(checkout)
    assert codes(checkout) == ["TREE-DIRTY"]


def test_no_repository_and_no_branch(checkout: Path) -> None:
    git(checkout, "checkout", "--quiet", "--detach")
    assert codes(checkout) == ["GIT-DETACHED"]
    shutil.rmtree(checkout / ".git")
    assert codes(checkout) == ["GIT-ABSENT"]


def test_a_large_file_in_plain_git_is_told(checkout: Path) -> None:
    (checkout / "weights.bin").write_bytes(bytes(repository.LARGE_BYTES + 1))
    git(checkout, "add", "weights.bin")
    git(checkout, "commit", "--quiet", "--message", "Weights")
    assert codes(checkout) == ["LFS-UNTRACKED"]


def test_a_small_encoder_takes_no_git_lfs_and_a_large_one_does(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "has_lfs", lambda _: False)
    assert codes(checkout) == []
    write_encoder(tmp_path / "large/representation/pytorch_model.pt", hidden=5000)
    bundle_encoder(checkout, tmp_path, "large")
    assert codes(checkout) == ["LFS-MISSING"]


def test_bundling_says_what_it_bundled_and_what_comes_next(good: Path) -> None:
    result = kit(good, "python", "-m", "submission", "bundle")
    path = good / "submission/bundle/representation/pytorch_model.pt"
    line = f"Bundled {path} ({readable_size(path.stat().st_size)}, SHA-256 {sha256_of(path)})"
    assert line in result.stdout and result.stdout.endswith("submission check\n")


def encoder_codes(root: Path) -> list[str]:
    return [problem.code for problem in encoder.problems(root, [])]


def put_encoder(root: Path, network: nn.Module) -> None:
    """Makes `network`, as it is, the bundled encoder."""
    path = root / "submission/bundle/representation/pytorch_model.pt"
    torch.jit.script(network).save(str(path))
    manifest = root / "submission/bundle/manifest.json"
    content = json.loads(manifest.read_text())
    content["sha256"]["representation/pytorch_model.pt"] = sha256_of(path)
    manifest.write_text(json.dumps(content))


def test_an_encoder_in_training_mode_is_told(checkout: Path) -> None:
    put_encoder(checkout, nn.Sequential(nn.BatchNorm2d(3), nn.MaxPool2d(32), nn.Flatten()).train())
    assert encoder_codes(checkout) == ["REPRESENTATION-BATCH"]


def test_tokens_are_not_what_the_challenge_took(checkout: Path) -> None:
    put_encoder(checkout, nn.Sequential(nn.AvgPool2d(16), nn.Flatten(2)).eval())
    assert encoder_codes(checkout) == ["CHECK-TOKENS"]


class DividesByBrightness(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images[:, :, 0, 0] / images.mean(dim=(1, 2, 3))[:, None]


def test_a_black_image_that_gives_nan_is_told(checkout: Path) -> None:
    put_encoder(checkout, DividesByBrightness().eval())
    assert encoder_codes(checkout) == ["REPRESENTATION-NONFINITE"]


def test_a_bundle_that_is_not_whole_is_told(checkout: Path) -> None:
    path = checkout / "submission/bundle/representation/pytorch_model.pt"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert encoder_codes(checkout) == ["BUNDLE-LFS"]
    path.unlink()
    assert encoder_codes(checkout) == ["BUNDLE-DIFFERS"]
    for text in ("{", "[]", '{"sha256": 1}', "\xe9"):
        (checkout / bundle.MANIFEST).write_text(text, encoding="latin-1")
        assert encoder_codes(checkout) == ["BUNDLE-MANIFEST"]
    shutil.rmtree(checkout / "submission/bundle")
    assert encoder_codes(checkout) == ["BUNDLE-ABSENT"]
