"""The page Start: what its commands are, that they run, and where their output goes."""

import pytest

from docs.made import session
from evaluation.common.environment import REPOSITORY


def test_every_command_runs_word_for_word() -> None:
    """In a fresh clone of what is committed; kept in scratch while the code is the same."""
    page = (REPOSITORY / "docs" / session.PAGE).read_text(encoding="utf-8")
    made = session.with_outputs(page)
    assert "{output}" not in made
    assert "Exported scratch/" in made or "Exported ~/kit/scratch/" in made
    assert "mig" in made and "Noise" in made
    assert "Bundled" in made


def test_only_blocks_with_an_output_are_run() -> None:
    page = "```bash\nrm --everything\n```\n\ntext\n\n```bash\nls \\\n  -a\n```\n\n{output}\n"
    assert session.commands_of(page) == ["ls \\\n  -a\n"]


def test_the_set_up_is_the_only_block_that_is_not_run() -> None:
    page = (REPOSITORY / "docs" / session.PAGE).read_text(encoding="utf-8")
    assert page.count("```bash\n") == len(session.commands_of(page)) + 1
    assert "```bash\n./local_eval.sh setup\n```" in page


def test_output_stands_where_the_page_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "outputs_of", lambda blocks: [f"{len(blocks)} block\n"])
    page = "```bash\nls\n```\n\n{output}\n\nmore\n"
    assert session.with_outputs(page) == "```bash\nls\n```\n\n```text\n1 block\n```\n\nmore\n"


def test_a_command_that_fails_stops_the_build() -> None:
    with pytest.raises(RuntimeError, match=r"docs/start.md: false\n"):
        session._run(["false\n"])


def test_lines_of_progress_are_left_out() -> None:
    printed = "Grading a.pt\nEncoding images: 2,752 of 9,452, 183/s\nMetrics: 2 of 5\nDone\n"
    assert session._without_progress(printed) == "Grading a.pt\nDone\n"
