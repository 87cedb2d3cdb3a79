"""What is read of files that a participant made, and what is left once it was graded."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation.common.errors import KitError
from evaluation.common.files import sha256_of
from evaluation.representation import reading
from evaluation.representation.limits import Limits
from evaluation.representation.reading import digest_of
from evaluation.representation.staging import copy_aside, private_folder

SECRET = b"another participant's"


def saved_model(folder: Path, name: str = "tfhub") -> Path:
    made = folder / name
    (made / "variables").mkdir(parents=True)
    (made / "saved_model.pb").write_bytes(b"graph")
    (made / "variables" / "variables.index").write_bytes(b"index")
    return made


def of_another(folder: Path) -> Path:
    (folder / "bob" / "representation").mkdir(parents=True)
    file = folder / "bob" / "representation" / "pytorch_model.pt"
    file.write_bytes(SECRET)
    return file


def refused(code: str, path: Path, limits: Limits | None = None) -> str:
    with pytest.raises(KitError) as refusal:
        digest_of(path, limits or Limits())
    assert refusal.value.code == f"REPRESENTATION-{code}", refusal.value
    return refusal.value.problem


@pytest.mark.parametrize("name", ["work", ".lock", "tfhub"])
def test_a_folder_may_be_called_as_what_lies_beside_its_copy(tmp_path: Path, name: str) -> None:
    made = saved_model(tmp_path, name)
    with private_folder() as stage:
        (stage / "work").mkdir()
        copy, digest = copy_aside(made, stage, Limits())
        assert digest == sha256_of(made) == sha256_of(copy)


def test_a_copy_has_nothing_that_its_hash_does_not_tell(tmp_path: Path) -> None:
    made = saved_model(tmp_path)
    (made / "a name that says something").mkdir()
    (made / "saved_model.pb").chmod(0o711)
    os.utime(made / "saved_model.pb", (1, 1))
    with private_folder() as stage:
        copy, digest = copy_aside(made, stage, Limits())
        assert digest == sha256_of(made)
        names = sorted(str(member.relative_to(copy)) for member in copy.rglob("*"))
        assert names == ["saved_model.pb", "variables", "variables/variables.index"]
        status = (copy / "saved_model.pb").stat()
        assert status.st_mtime != 1
        assert not status.st_mode & 0o111


def test_deep_folders_are_refused(tmp_path: Path) -> None:
    made = saved_model(tmp_path)
    (made / "/".join("d" * 700)).mkdir(parents=True)
    assert "deep" in refused("UNREADABLE", made)


def test_another_participants_file_is_not_graded(tmp_path: Path) -> None:
    bob = of_another(tmp_path)
    alice = tmp_path / "alice"
    alice.mkdir()
    (alice / "representation").symlink_to(bob.parent)
    assert "representation is a link" in refused("SYMLINK", alice / "representation" / bob.name)


def test_a_link_within_the_own_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "best.pt").symlink_to("epoch_3.pt")
    (tmp_path / "epoch_3.pt").write_bytes(b"weights")
    assert digest_of(tmp_path / "best.pt", Limits()) == sha256_of(tmp_path / "epoch_3.pt")


@pytest.mark.parametrize("swapped", ["the file", "the folder that it lies in"])
def test_a_link_that_is_put_there_meanwhile_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    bob = of_another(tmp_path)
    own = tmp_path / "alice" / "representation" / bob.name
    own.parent.mkdir(parents=True)
    own.write_bytes(b"my own")
    look = reading._without_links

    def then_swap(path: Path) -> Path:
        leads_to = look(path)
        if swapped == "the file":
            own.unlink()
            own.symlink_to(bob)
        else:
            own.parent.rename(tmp_path / "away")
            own.parent.symlink_to(bob.parent)
        return leads_to

    monkeypatch.setattr(reading, "_without_links", then_swap)
    with pytest.raises(KitError, match=r"is a link that|another took its place"):
        digest_of(own, Limits())


@pytest.mark.parametrize("act", ["grows", "becomes a pipe"])
def test_a_file_that_changes_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    made = saved_model(tmp_path)
    index = made / "variables" / "variables.index"
    read = os.read
    limits = Limits(representation_gib=16 / 2**30)

    def then_change(handle: int, size: int) -> bytes:
        if act == "grows":
            os.truncate(index, 1 << 40)
        return read(handle, size)

    if act == "becomes a pipe":
        index.unlink()
        os.mkfifo(index)
        assert "neither a file nor a folder" in refused("UNREADABLE", made, limits)
        return
    monkeypatch.setattr(os, "read", then_change)
    with private_folder() as stage:
        with pytest.raises(KitError, match=r"REPRESENTATION-(CHANGED|SIZE)"):
            copy_aside(made, stage, limits)
        assert sum(file.stat().st_size for file in stage.rglob("*") if file.is_file()) < 1 << 20


def deep(work: Path) -> None:
    here = os.open(work, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d" * 100, dir_fd=here)
        here, outer = os.open("d" * 100, os.O_RDONLY, dir_fd=here), here
        os.close(outer)
    os.close(here)


def closed(work: Path) -> None:
    (work / "inner" / "deeper").mkdir(parents=True)
    (work / "inner" / "file").write_text("kept")
    (work / "inner").chmod(0o300)


@pytest.mark.parametrize("fill", [deep, closed])
def test_whatever_is_made_in_its_folder_goes(
    monkeypatch: pytest.MonkeyPatch, fill: Callable[[Path], None]
) -> None:
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o777)
        monkeypatch.setattr(tempfile, "tempdir", parent)
        if user == 0:
            os.seteuid(65534)  # modes mean nothing to root
        try:
            with private_folder() as stage:
                (stage / "work").mkdir()
                fill(stage / "work")
        finally:
            os.seteuid(user)
        assert list(Path(parent).iterdir()) == []
