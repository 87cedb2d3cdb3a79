"""Runs that were graded: in the challenge's order, and side by side."""

import csv
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from evaluation import __main__ as command
from evaluation.common.errors import KitError
from evaluation.metrics import CHALLENGE
from evaluation.report.runs.comparison import compare, difference
from evaluation.report.runs.leaderboard import Entry, leaderboard
from evaluation.scores import Graded, MadeFrom, Report, Spread, write

NAMES = [metric.name for metric in CHALLENGE]
HOSTILE = "<script>alert(1)</script>|&_$"


def entry(name: str, *scores: float | None) -> Entry:
    """An entry of the owner with the first letter of its name."""
    return Entry(name, name[0], dict(zip("vwxyz", scores, strict=False)))


def order(*entries: Entry) -> list[tuple[str, float]]:
    metrics = list(entries[0].scores)
    return [(place.entry.name, place.total) for place in leaderboard(entries, metrics)]


def test_the_lowest_mean_rank_wins() -> None:
    assert order(entry("a", 0.9, 0.1, 0.5), entry("b", 0.8, 0.2, 0.6)) == [
        ("b", pytest.approx(4 / 3)),
        ("a", pytest.approx(5 / 3)),
    ]


def test_equal_scores_share_the_better_rank() -> None:
    assert order(entry("a", 0.5), entry("b", 0.5), entry("c", 0.4)) == [
        ("a", 1),
        ("b", 1),
        ("c", 3),
    ]


def test_of_equal_totals_the_earlier_is_first() -> None:
    assert [name for name, _ in order(entry("b", 0.1, 0.9), entry("a", 0.9, 0.1))] == ["b", "a"]


def test_an_owners_best_is_found_among_all_and_ranked_among_the_fixed() -> None:
    # Among all five a1 has the ranks 1 and 5, a2 2 and 2, and wins; b's best is then found
    # without a's. Among those fixed the ranks are counted anew.
    a1, a2 = entry("a1", 0.9, 0.1), entry("a2", 0.8, 0.8)
    b1, b2, b3 = entry("b1", 0.7, 0.9), entry("b2", 0.6, 0.7), entry("b3", 0.5, 0.6)
    assert order(a1, a2, b1, b2, b3) == [("a2", 1.5), ("b1", 1.5)]


def test_an_owners_entries_push_others_down_until_they_are_dropped() -> None:
    # With all of a's entries c1 (ranks 4, 1) is behind a1 (1, 2); b1 (5, 5) is last.
    entries = [entry("a1", 0.9, 0.8), entry("a2", 0.8, 0.2), entry("a3", 0.7, 0.1)]
    entries += [entry("c1", 0.6, 0.9), entry("b1", 0.1, 0.0)]
    assert order(*entries) == [("a1", 1.5), ("c1", 1.5), ("b1", 3)]


def test_a_missing_score_ranks_below_each_score() -> None:
    assert order(entry("a", None, 0.5), entry("b", -3.0, 0.5), entry("c", None, 0.1)) == [
        ("b", 1),
        ("a", 1.5),
        ("c", 2.5),
    ]


def test_nobody_took_part() -> None:
    assert leaderboard([], ["dci"]) == []


def report(shift: float = 0.0, seeds: int = 1, dataset: str = "shades") -> Report:
    scores = {name: 0.1 * place + shift for place, name in enumerate(NAMES)}
    spreads = {
        name: Spread(
            scores=[score + 0.01 * seed for seed in range(seeds)],
            mean=score,
            std=0.0,
            interval=(score, score),
            baselines={},
        )
        for name, score in scores.items()
    }
    optional: dict[str, Any] = {"seeds": spreads} if seeds > 1 else {}
    return Report(
        scores=scores,
        details={},
        seconds={},
        dataset=dataset,
        factor_sizes=[2],
        engine="fast",
        seed=0,
        versions={},
        baselines={"noise": {}},
        representation=Graded(path="a", kind="dill", sha256="0", dim=2),
        made_from=MadeFrom(representation="0", untrained=None, data="0", protocol={}, grader="0"),
        **optional,
    )


def test_differences_are_paired_over_seeds() -> None:
    found = difference(report(seeds=3), report(shift=0.2, seeds=5), "dci")
    assert found is not None and found.interval is not None
    # Each seed moves both runs alike: what is left has no noise.
    assert found.value == pytest.approx(0.2)
    assert found.interval == (pytest.approx(0.2), pytest.approx(0.2))
    alone = difference(report(), report(shift=0.2), "dci")
    assert alone is not None and alone.interval is None
    assert difference(report(), report(dataset="other"), "dci") is None


def test_the_best_of_each_metric() -> None:
    runs = compare({"a": report(), "b": report(shift=0.2), "c": report(shift=0.2)})
    assert [run.best == frozenset(NAMES) for run in runs] == [False, True, True]
    assert runs[0].differences == {}


@pytest.fixture
def graded(tmp_path: Path) -> Path:
    """A folder with runs of two owners, one of whom has two."""
    folder = tmp_path / "runs"
    for name, shift in (("alice/one", 0.1), ("alice/two", 0.3), (f"bob/{HOSTILE[:8]}", 0.2)):
        write(folder / name / "scores.json", report(shift, seeds=2))
    return folder


def printed(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    capsys.readouterr()
    assert command.main([str(word) for word in argv]) == 0
    return capsys.readouterr().out


def test_the_leaderboard_of_a_folder(graded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(printed(capsys, "leaderboard", graded, "--format", "json"))
    assert [row["Run"] for row in rows] == ["alice/two", "bob/<script>"[:12]]
    assert [row["Mean rank"] for row in rows] == [1.0, 2.0]
    text = printed(capsys, "leaderboard", graded)
    assert "alice/two" in text and "alice/one" not in text


def test_runs_on_other_data_are_not_ranked_together(
    graded: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(graded / "carol/best" / "scores.json", report(0.9, dataset="easy"))
    later = msgspec.structs.replace(report(0.8), seed=3)
    write(graded / "dave/lucky" / "scores.json", later)
    changed = msgspec.structs.replace(later.made_from, data="ffffffff00")
    write(graded / "erin/new" / "scores.json", msgspec.structs.replace(later, made_from=changed))
    rows = json.loads(printed(capsys, "leaderboard", graded, "--format", "json"))
    assert [(row["Board"], row["Run"][:5], row["Place"]) for row in rows] == [
        ("easy", "carol", 1),
        ("shades, data 0", "alice", 1),
        ("shades, data 0", "bob/<", 2),
        ("shades, data 0, seed 3", "dave/", 1),
        ("shades, data ffffffff, seed 3", "erin/", 1),
    ]
    text = printed(capsys, "leaderboard", graded, "--dataset", "easy")
    assert "carol/best" in text and "alice" not in text
    with pytest.raises(KitError, match=r"RUN-DATASET.*easy, shades"):
        command.main(["leaderboard", str(graded), "--dataset", "hard"])


def test_the_best_is_the_best_on_its_data() -> None:
    runs = compare({"a": report(), "b": report(0.2, dataset="easy"), "c": report(0.1)})
    assert [bool(run.best) for run in runs] == [False, True, True]


def test_each_format_has_the_same_numbers(graded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = {
        style: printed(capsys, "compare", graded, "--format", style)
        for style in ("table", "md", "csv", "json", "tex")
    }
    for style in ("table", "md", "tex"):
        assert "0.3000" in texts[style] and "0.2000" in texts[style]
    rows = list(csv.DictReader(io.StringIO(texts["csv"])))
    assert [float(row["DCI"]) for row in rows] == pytest.approx([0.2, 0.4, 0.3])
    assert json.loads(texts["json"])[1]["DCI diff"] == pytest.approx(0.2)
    assert r"\textbf{0.4000}" in texts["tex"] and "**0.4000**" in texts["md"]
    assert r"\<script\>" in texts["md"]


def test_a_hundred_runs_have_a_readable_page(tmp_path: Path) -> None:
    for number in range(100):
        write(tmp_path / f"run{number:03}" / "scores.json", report(number / 1000))
    shutil.move(tmp_path / "run007", tmp_path / "7<b onclick=x>")
    page = tmp_path / "all.html"
    assert command.main(["compare", str(tmp_path), "--page", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.count("<tr>") == 101
    assert "<b onclick" not in text and "7&lt;b onclick=x&gt;" in text


@pytest.mark.parametrize(
    ("content", "code"), [(None, "RUN-MISSING"), ("[" * 100_000, "RUN-UNREADABLE"), ("{}", None)]
)
def test_what_is_no_run_is_refused(tmp_path: Path, content: str | None, code: str | None) -> None:
    if content is not None:
        (tmp_path / "scores.json").write_text(content, encoding="utf-8")
    with pytest.raises(KitError) as refused:
        command.main(["leaderboard", str(tmp_path)])
    assert refused.value.code == (code or "RUN-UNREADABLE")


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_a_score_that_is_not_finite_disturbs_no_ranks(graded: Path, number: str) -> None:
    file = graded / "alice/one/scores.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["scores"]["dci"] = "number"
    file.write_text(json.dumps(content).replace('"number"', number), encoding="utf-8")
    with pytest.raises(KitError, match=f"{number} is not finite") as refused:
        command.main(["leaderboard", str(graded)])
    assert refused.value.code == "RUN-UNREADABLE"


@pytest.mark.parametrize("style", ["table", "md", "csv", "json", "tex"])
def test_names_of_metrics_from_others_stay_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], style: str
) -> None:
    named = report()
    named.scores.update({"[/bold]": 0.1, "=cmd()": 0.2, "\x1b[2J": 0.3})
    write(tmp_path / "scores.json", named)
    text = printed(capsys, "compare", tmp_path, "--format", style)
    assert "\x1b" not in text
    assert "=cmd()" in text and not re.search(r"(^|,)=cmd", text, re.MULTILINE)


def test_a_run_in_a_newer_form_is_refused(tmp_path: Path) -> None:
    newer = {**msgspec.to_builtins(report()), "schema_version": 2}
    (tmp_path / "scores.json").write_text(json.dumps(newer), encoding="utf-8")
    with pytest.raises(KitError, match="RUN-UNREADABLE"):
        command.main(["compare", str(tmp_path)])
