"""Paths that lead nowhere."""

from pathlib import Path

import pytest

from evaluation.common.errors import KitError
from evaluation.representation.finding import Found, by_name, find, given_codes


@pytest.mark.parametrize("name", ["codes.npy", "pytorch_model.pt", "experiment"])
@pytest.mark.parametrize("look", [find, given_codes])
def test_a_link_to_itself_is_named_as_such(tmp_path: Path, name: str, look) -> None:
    (tmp_path / name).symlink_to(name)
    with pytest.raises(KitError, match=f"{name} is a link to itself") as refused:
        look(tmp_path / name)
    assert refused.value.code.endswith("-UNREADABLE")


def test_links_in_a_circle_are_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "a.npy").symlink_to("b.npy")
    (tmp_path / "b.npy").symlink_to("a.npy")
    with pytest.raises(KitError, match=r"a\.npy is a link to itself, or leads through one"):
        given_codes(tmp_path / "a.npy")


def test_no_name_is_that_of_a_file_that_the_grader_writes() -> None:
    found = [Found(Path("/entries/all_scores.json.pt"), "torchscript")]
    found.append(Found(Path("/entries/all_scores/pytorch_model.pt"), "torchscript"))
    named = by_name(found, taken=("all_scores.json",))
    assert list(named) == ["all_scores.json.pt", "pytorch_model"]


@pytest.mark.parametrize("name", [".", ".."])
def test_no_name_leads_out_of_the_folder_of_results(name: str) -> None:
    found = [Found(Path(f"/entries/{name}.pt"), "torchscript")]
    found.append(Found(Path("/entries/other.pt"), "torchscript"))
    assert list(by_name(found)) == [f"{name}.pt", "other"]


def test_no_name_takes_the_place_of_a_file_in_the_folder_of_another() -> None:
    paths = ("a/scores.json.pt", "alice/scores.json.pt", "alice.pt")
    found = [Found(Path("/entries", path), "torchscript") for path in paths]
    named = by_name(found, taken=("scores.json",))
    assert list(named) == ["a/scores.json.pt", "alice/scores.json.pt", "alice"]
