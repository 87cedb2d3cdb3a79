"""The archive, and a submission pushed to a bare repository on disk."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import dill
import pytest

from evaluation.common.errors import KitError
from submission.delivery import bundle, packaging, submitting
from submission.delivery.checks import repository
from tests.checkouts import bundle_encoder, git, kit, make_checkout, write_encoder

ENCODER = "submission/bundle/representation/pytorch_model.pt"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with an encoder bundled and authors of its own; not to be changed."""
    folder = make_checkout(tmp_path_factory.mktemp("good"))
    bundle_encoder(folder, tmp_path_factory.mktemp("shared"))
    text = (folder / "aicrowd.json").read_text()
    (folder / "aicrowd.json").write_text(text.replace("Seed 58530945 maintainers", "jane"))
    git(folder, "commit", "--quiet", "--message", "Jane's", "aicrowd.json")
    return folder


@pytest.fixture
def checkout(good: Path, tmp_path: Path) -> Path:
    return shutil.copytree(good, tmp_path / "checkout", symlinks=True)


@pytest.fixture
def remote(checkout: Path, tmp_path: Path) -> Path:
    """A bare repository that the checkout knows as `aicrowd`."""
    folder = tmp_path / "remote.git"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(folder))
    git(checkout, "remote", "add", "aicrowd", str(folder))
    return folder


def write_function(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with path.open("wb") as stream:
        # By value: the worker knows no module of ours.
        dill.dump(lambda images: images.mean(axis=(2, 3)), stream, recurse=True, byref=False)


def submit(checkout: Path, *arguments: str) -> tuple[int, str]:
    result = kit(checkout, "python", "-m", "submission", "submit", *arguments)
    return result.returncode, result.stdout + result.stderr


@pytest.mark.parametrize("name", ["../../../victim", "{victim}", "", "representation/", "a\0"])
def test_a_manifest_names_no_file_outside_of_the_bundle(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "victim").write_text("precious")
    write_function(tmp_path / "shared/other/representation/python_model.dill")
    monkeypatch.setenv("AICROWD_OUTPUT_PATH", str(tmp_path / "shared"))
    digest = hashlib.sha256(b"precious").hexdigest()
    manifest = {"sha256": {name.format(victim=tmp_path / "victim"): digest}}
    (checkout / bundle.MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(KitError, match="BUNDLE-MANIFEST"):
        bundle.deliver(checkout)
    bundle.make(checkout, "other")
    assert (tmp_path / "victim").read_text() == "precious"
    assert list(bundle.verify(checkout)) == ["representation/python_model.dill"]


def test_nothing_is_bundled_through_a_link(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_function(tmp_path / "shared/other/representation/python_model.dill")
    monkeypatch.setenv("AICROWD_OUTPUT_PATH", str(tmp_path / "shared"))
    shutil.move(checkout / bundle.FOLDER / "representation", tmp_path / "elsewhere")
    (checkout / bundle.FOLDER / "representation").symlink_to(tmp_path / "elsewhere")
    before = list((tmp_path / "elsewhere").iterdir())
    with pytest.raises(KitError, match="BUNDLE-LINK"):
        bundle.make(checkout, "other")
    assert list((tmp_path / "elsewhere").iterdir()) == before


def test_the_archive_holds_what_its_manifest_lists(checkout: Path, tmp_path: Path) -> None:
    (checkout / "scratch").mkdir()
    (checkout / "scratch/secret.txt").write_text("no")
    packaging.package(checkout, tmp_path / "a.tar.gz")
    with tarfile.open(tmp_path / "a.tar.gz") as archive:
        members = {member.name: member for member in archive}
        contents = {name: archive.extractfile(name).read() for name in members}  # type: ignore[union-attr]
    manifest = json.loads(contents.pop("MANIFEST.json"))
    assert manifest == {
        name: hashlib.sha256(content).hexdigest() for name, content in contents.items()
    }
    tracked = git(checkout, "ls-files").splitlines()
    assert set(manifest) == {
        *(*tracked, ENCODER),
        *("submission/bundle/config.gin", "submission/bundle/manifest.json"),
    }
    assert contents[ENCODER] == (checkout / ENCODER).read_bytes()
    assert members["run.sh"].mode == 0o755


def test_the_same_submission_gives_the_same_bytes(good: Path, tmp_path: Path) -> None:
    packaging.package(good, tmp_path / "first.tar.gz")
    copy = tmp_path / "elsewhere"
    shutil.copytree(good, copy, symlinks=True, copy_function=shutil.copy)  # other times
    packaging.package(copy, tmp_path / "second.tar.gz")
    assert (tmp_path / "first.tar.gz").read_bytes() == (tmp_path / "second.tar.gz").read_bytes()


def test_a_submission_arrives_with_its_encoder(checkout: Path, remote: Path) -> None:
    before = git(checkout, "rev-parse", "HEAD")
    status, output = submit(checkout)
    assert status == 0, output
    assert f"Watch {remote}" in output

    # One commit more, of the bundle alone, and an annotated tag upon it, pushed with its branch.
    assert git(remote, "rev-parse", "submission-v1^{commit}") == git(remote, "rev-parse", "main")
    assert git(remote, "cat-file", "-t", "submission-v1") == "tag"
    assert git(remote, "rev-parse", "main^") == before
    changed = git(remote, "diff", "--name-only", before, "main").splitlines()
    assert changed == sorted(
        [ENCODER, "submission/bundle/config.gin", "submission/bundle/manifest.json"]
    )
    assert git(remote, "cat-file", "-s", f"main:{ENCODER}") == str(
        (checkout / ENCODER).stat().st_size
    )
    assert "git lfs" not in output

    # The same again is refused, by name and by content.
    status, output = submit(checkout)
    assert status == 1 and "TAG-TAKEN" in output and "COMMIT-EVALUATED" in output


@pytest.mark.usefixtures("git_lfs")
def test_a_large_encoder_goes_through_git_lfs(checkout: Path, remote: Path, tmp_path: Path) -> None:
    write_encoder(tmp_path / "large/representation/pytorch_model.pt", hidden=5000)
    bundle_encoder(checkout, tmp_path, "large")
    assert (checkout / ENCODER).stat().st_size > repository.LARGE_BYTES
    status, output = submit(checkout)
    assert status == 0, output
    assert git(remote, "show", f"main:{ENCODER}").startswith("version https://git-lfs")

    # Whoever clones it gets the encoder itself.
    clone = tmp_path / "clone"
    git(tmp_path, "-c", "filter.lfs.smudge=", "clone", "--quiet", str(remote), str(clone))
    git(clone, "lfs", "install", "--local", "--skip-repo")
    git(clone, "lfs", "pull")
    assert (clone / ENCODER).read_bytes() == (checkout / ENCODER).read_bytes()


def test_a_dry_run_changes_nothing(checkout: Path, remote: Path) -> None:
    before = git(checkout, "status", "--porcelain"), git(checkout, "rev-parse", "HEAD")
    status, output = submit(checkout, "--dry-run")
    assert status == 0, output
    for order in ("git commit", "git tag --annotate submission-v1", "git push --atomic aicrowd"):
        assert order in output
    assert before == (git(checkout, "status", "--porcelain"), git(checkout, "rev-parse", "HEAD"))
    assert git(checkout, "tag") == git(remote, "branch") == git(remote, "tag") == ""


def test_what_the_manifest_does_not_list_stays_behind(checkout: Path, remote: Path) -> None:
    (checkout / "submission/draft.py").touch()
    status, output = submit(checkout)
    assert status == 1 and "TREE-UNTRACKED" in output
    assert git(remote, "branch") == ""


def test_a_refused_push_takes_the_tag_back_and_another_encoder_replaces_the_first(
    checkout: Path, remote: Path, tmp_path: Path
) -> None:
    hook = remote / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    status, output = submit(checkout)
    assert status == 2 and "error[GIT-FAILED]" in output
    assert git(checkout, "tag") == ""
    hook.unlink()

    write_function(tmp_path / "mean/representation/python_model.dill")
    bundle_encoder(checkout, tmp_path, "mean")
    status, output = submit(checkout)
    assert status == 0, output
    names = git(remote, "ls-tree", "-r", "--name-only", "main", "submission/bundle").splitlines()
    assert names == [
        "submission/bundle/manifest.json",
        "submission/bundle/representation/python_model.dill",
    ]


def test_an_interrupted_push_takes_the_tag_back(
    checkout: Path, remote: Path, tmp_path: Path
) -> None:
    started = tmp_path / "started"
    hook = remote / "hooks/pre-receive"
    hook.write_text(f"#!/bin/sh\ntouch {started}\nsleep 20\n")
    hook.chmod(0o755)
    command = [sys.executable, "-m", "submission", "submit"]
    # What a shell without job control starts in the background ignores the signal, and so would
    # the process.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, cwd=checkout, stdout=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    while not started.exists() and process.poll() is None:
        time.sleep(0.05)
    assert git(checkout, "tag") == "submission-v1"
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "--message 'Submission submission-v1'" in output, "orders that a shell would take"
    assert git(checkout, "tag") == ""


def test_a_remote_that_git_does_not_know_is_an_error(checkout: Path) -> None:
    status, output = submit(checkout)
    assert status == 2
    assert "error[SUBMIT-REMOTE]" in output and "git remote add aicrowd" in output


@pytest.mark.parametrize(
    "url",
    [
        "git@gitlab.aicrowd.com:jane/kit.git",
        "https://gitlab.aicrowd.com/jane/kit.git",
        "ssh://git@gitlab.aicrowd.com:22/jane/kit",
        "https://jane:token@gitlab.aicrowd.com/jane/kit/",
    ],
)
def test_the_address_to_watch(url: str) -> None:
    assert submitting.address(url) == "https://gitlab.aicrowd.com/jane/kit/issues"
