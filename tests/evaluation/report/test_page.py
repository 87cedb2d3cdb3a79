"""The page of a grading: what is on it, and what must never be."""

import os
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation.codes import ledger
from evaluation.codes.frames.content import FramesReport
from evaluation.codes.frames.walking import walked_set
from evaluation.common.environment import LABELS_LINE
from evaluation.common.errors import KitError
from evaluation.common.files import write_json
from evaluation.report import page
from evaluation.report.material import Material
from evaluation.report.printed import print_report
from evaluation.report.training_log import panels, read_columns, read_config
from evaluation.scores import Isolation, Used
from tests.evaluation.report.graded import material_of

HOSTILE = '</title><script>document.title = "taken"</script><img src=x onerror=alert(1)>$\\frac{'


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return material_of(lambda x: x[:, [0, 2, 3]], tmp_path_factory.mktemp("graded"))


@pytest.fixture(autouse=True)
def own_ledger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ledger, "_LEDGER", tmp_path / "ledger")


def written(material: Material, folder: Path) -> str:
    page.write_page(folder / "report.html", material)
    return (folder / "report.html").read_text(encoding="utf-8")


def test_scores_on_the_page_are_those_of_the_report(material: Material, tmp_path: Path) -> None:
    text = written(material, tmp_path)
    shown = re.findall(r'data-metric="(\w+)">([\d.]+|none)<', text)
    assert shown == [(name, f"{score:.4f}") for name, score in material.report.scores.items()]
    assert "The representation misses shape: " in text
    assert text.count("Heat map of codes and factors") == 5


def test_it_says_that_sap_has_another_best_score(
    material: Material, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    others = {name: score for name, score in material.report.scores.items() if name != "sap_score"}
    without = msgspec.structs.replace(material.report, scores=others)
    for report, is_said in ((material.report, True), (without, False)):
        text = written(replace(material, report=report), tmp_path)
        assert ("but not for SAP" in " ".join(text.split())) is is_said
        print_report(report)
        assert ("not for SAP" in " ".join(capsys.readouterr().out.split())) is is_said


def test_it_fetches_and_runs_nothing(material: Material, tmp_path: Path) -> None:
    text = written(material, tmp_path)
    assert "<script" not in text and "javascript:" not in text
    assert re.findall(r'(?:src|href)="(?!data:|#)', text) == []
    assert "default-src 'none'" in text
    assert len(text) < 8_000_000


def test_every_picture_has_a_text(material: Material, tmp_path: Path) -> None:
    pictures = re.findall(r"<img [^>]*>", written(material, tmp_path))
    assert len(pictures) > 15
    assert all(re.search(r'alt="[^"]{20,}"', picture) for picture in pictures)


def test_names_of_others_stay_text(material: Material, tmp_path: Path) -> None:
    (tmp_path / "stats.csv").write_text(f"epochs;{HOSTILE}\n0;1\n1;2\n", encoding="utf-8")
    config = f"{LABELS_LINE}{HOSTILE}\n{HOSTILE}"
    (tmp_path / "config.gin").write_text(config, encoding="utf-8")
    about = msgspec.structs.replace(material.report.representation, path=f"{HOSTILE}\u202e\x1b.pt")
    report = msgspec.structs.replace(material.report, representation=about)
    text = written(replace(material, report=report, output=tmp_path), tmp_path)
    assert "<script>" not in text and "onerror=alert(1)>" not in text
    assert HOSTILE in unescape(text)
    assert "\u202e" not in text and "\x1b" not in text
    assert r"\u202e\x1b" in text


def test_a_file_name_that_is_no_text_is_shown_with_escapes(
    material: Material, tmp_path: Path
) -> None:
    name = os.fsdecode(b"\xff.pt")
    about = msgspec.structs.replace(material.report.representation, path=name)
    report = msgspec.structs.replace(material.report, representation=about)
    text = written(replace(material, report=report, compared_with=report), tmp_path)
    assert r"\udcff.pt" in text


def test_images_that_cannot_be_read_are_said_to_be_missing(
    material: Material, tmp_path: Path
) -> None:
    def gone(_: object) -> NDArray:
        raise KitError("DATA-DAMAGED", "the images are gone", "Get them again")

    data = replace(material.data, images_at=gone)
    text = written(replace(material, data=data), tmp_path)
    assert "the images are gone" in text
    assert text.count("Heat map of codes and factors") == 5


def test_a_page_is_current_while_its_scores_are_the_same(
    material: Material, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    assert not page.is_current(path, material.report, None)
    written(material, tmp_path)
    assert page.is_current(path, material.report, None)
    assert not page.is_current(path, material.report, material.report)
    path.write_text(path.read_text(encoding="utf-8") + "forged", encoding="utf-8")
    assert not page.is_current(path, material.report, None)


def test_frames_are_shown_where_the_grader_walked_them(material: Material, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    walks = np.arange(4 * 6).reshape(4, 6)
    found = walked_set(generator.normal(size=(24, 3)), walks, ["h", "i", HOSTILE, "k"])
    frames = FramesReport(
        sets={HOSTILE: found},
        factor_names=["h", "i", HOSTILE, "k"],
        frames="f.npz",
        frames_sha256="0",
        representation=material.report.representation,
        isolation=Isolation(complete=True, missing=[]),
        used=Used(memory_bytes=0, wall_seconds=0, cpu_seconds=0, processes=1, threads=1),
        violations=[],
        versions={},
    )
    path, material = tmp_path / "frames.json", replace(material, output=tmp_path)
    write_json(path, msgspec.to_builtins(frames))
    assert "On frames without labels" not in written(material, tmp_path)
    ledger.enter(path)
    assert not page.is_current(tmp_path / "report.html", material.report, None)
    text = written(material, tmp_path)
    assert page.is_current(tmp_path / "report.html", material.report, None)
    assert "On frames without labels" in text and "<script>" not in text
    assert f">{found.shares[0][0]:.2f}<".replace(">0.", ">.") in text
    other = msgspec.structs.replace(material.report.representation, sha256="1")
    report = msgspec.structs.replace(material.report, representation=other)
    assert "On frames without labels" not in written(replace(material, report=report), tmp_path)


def test_codes_of_many_kinds_have_a_page(material: Material, tmp_path: Path) -> None:
    report = msgspec.structs.replace(material.report, details={}, scores={})
    images = len(material.numbers)
    for codes in (np.full((images, 2), 7.0), 1e30 * material.codes, material.codes[:, :1]):
        assert "</html>" in written(replace(material, codes=codes, report=report), tmp_path)


def test_labels_that_a_training_used_are_named(material: Material, tmp_path: Path) -> None:
    material = replace(material, output=tmp_path)
    (tmp_path / "stats.csv").write_text("epochs;loss\n0;1\n1;2\n", encoding="utf-8")
    for config, is_said in ((f"{LABELS_LINE}a, b\n", True), (f"x = 1\n{LABELS_LINE}a", False)):
        (tmp_path / "config.gin").write_text(config, encoding="utf-8")
        assert ("learned the labels of: a, b." in written(material, tmp_path)) is is_said


def test_curves_of_a_training_are_grouped(tmp_path: Path) -> None:
    (tmp_path / "stats.csv").write_text(
        "epochs;beta;total_loss;KLD_code_0;odd\n0;0.1;9;0;nan\n1;0.2;8;1;3\n", encoding="utf-8"
    )
    found = {panel.title: [name for name, _ in panel.lines] for panel in panels(tmp_path)}
    assert found == {
        "Training: divergence by code": ["KLD_code_0"],
        "Training: losses": ["total_loss"],
        "Training: beta and learning rate": ["beta"],
        "Training: the rest of its log": ["odd"],
    }


def test_accuracies_of_a_tuning_are_grouped_by_dataset(tmp_path: Path) -> None:
    (tmp_path / "finetuning").mkdir()
    (tmp_path / "finetuning/stats.csv").write_text(
        "epochs;accuracy_on_my_toys/size;accuracy_on_real/size;accuracy_size\n0;nan;0.5;0.4\n"
        "1;0.7;0.6;0.6\n",
        encoding="utf-8",
    )
    found = {panel.title: [name for name, _ in panel.lines] for panel in panels(tmp_path)}
    assert found == {
        "Fine-tuning: held-out accuracy on my_toys": ["accuracy_on_my_toys/size"],
        "Fine-tuning: held-out accuracy on real": ["accuracy_on_real/size"],
        "Fine-tuning: held-out accuracy": ["accuracy_size"],
    }


def test_of_many_codes_those_that_end_highest_are_drawn(tmp_path: Path) -> None:
    names = [f"KLD_code_{code}" for code in range(18)]
    last = [str(code % 7) for code in range(18)]
    lines = [["epochs", *names], ["0", *["9"] * 18], ["1", *last]]
    (tmp_path / "stats.csv").write_text("\n".join(map(";".join, lines)), encoding="utf-8")
    (panel,) = panels(tmp_path)
    assert len(panel.lines) == 14
    assert {int(values[-1]) for _, values in panel.lines} == {2, 3, 4, 5, 6, 1}
    assert [name for name, _ in panel.lines] == sorted(
        (name for name, _ in panel.lines), key=names.index
    )


@pytest.mark.parametrize("content", [b"", b"epochs", b"\xff\x00;;;\n;;", b"a;b\n1;x\n2\n"])
def test_a_log_that_is_none_does_no_harm(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "stats.csv").write_bytes(content)
    assert all(len(values) for values in read_columns(tmp_path, "stats.csv").values())
    assert panels(tmp_path) == [] or panels(tmp_path)[0].lines


def test_numbers_too_large_to_draw_are_left_out(material: Material, tmp_path: Path) -> None:
    log = "epochs;loss;beta\n0;1e308;1\n1;-1e308;2\n2;1e99;-1e99\n"
    (tmp_path / "stats.csv").write_text(log, encoding="utf-8")
    assert "Training: losses" in written(replace(material, output=tmp_path), tmp_path)
    assert np.isnan(read_columns(tmp_path, "stats.csv")["loss"]).tolist() == [True, True, False]


@pytest.mark.parametrize("act", ["a link", "a link to its folder", "a pipe", "too large"])
def test_what_others_keep_secret_does_not_come_into_a_page(tmp_path: Path, act: str) -> None:
    secret, experiment = tmp_path / "home" / "config.gin", tmp_path / "experiment"
    (tmp_path / "home").mkdir()
    (experiment / "finetuning").mkdir(parents=True)
    secret.write_text("what nobody is told")
    config = experiment / "config.gin"
    if act == "a link":
        config.symlink_to(secret)
    elif act == "a link to its folder":
        (experiment / "finetuning").rmdir()
        (experiment / "finetuning").symlink_to(secret.parent)
        (secret.parent / "stats.csv").write_text("epochs;secret\n0;1\n1;2\n")
    elif act == "a pipe":
        os.mkfifo(config)
    else:
        config.write_text("x" * 50_000)
    assert read_config(experiment) is None
    assert panels(experiment) == []
