"""Two studies of the same name do not share a folder unless somebody wants it."""

from pathlib import Path

import pytest

from evaluation.common.errors import KitError
from submission.study.owner import note_owner, require_own


def test_a_folder_of_another_study_of_the_same_name(tmp_path: Path) -> None:
    own, other = tmp_path / "a/beta.toml", tmp_path / "b/beta.toml"
    for file in (own, other):
        file.parent.mkdir()
        file.touch()
    folder = tmp_path / "out"
    require_own(folder, own)
    note_owner(folder, own)
    require_own(folder, own)
    with pytest.raises(KitError, match=r"results of another study, .*a/beta\.toml") as refusal:
        require_own(folder, other)
    assert refusal.value.code == "STUDY-FOLDER"
    own.unlink()  # a study that was moved keeps its folder
    require_own(folder, other)
    (folder / "study.json").write_text("[]")
    require_own(folder, other)
