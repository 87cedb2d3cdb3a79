"""`report.html`: a grading as one file to look at, with nothing fetched and nothing run.

Names and texts of a submission are escaped by the templates, pictures are held as images, which run
no scripts, and the page's own policy forbids any.
"""

import hashlib
import json
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from evaluation.codes import ledger
from evaluation.codes.frames.content import NAME as FRAMES
from evaluation.codes.frames.content import FramesReport, read_own
from evaluation.common.escaping import visible_lines
from evaluation.common.files import whole_file
from evaluation.report import drawing
from evaluation.report.findings.knowledge import headline
from evaluation.report.findings.losses import losses
from evaluation.report.heat_maps import frames_maps, heat_maps
from evaluation.report.material import MOST_CODES, Material
from evaluation.report.pairs import keys, pairs
from evaluation.report.pictures import Picture
from evaluation.report.printed import number
from evaluation.report.reconstructions import read_reconstructions, show, written_text
from evaluation.report.sections import code_sections, factor_sections
from evaluation.report.summary import (
    best_score,
    cards,
    command_of,
    costs,
    missing_metrics,
    origins,
    shape_of,
)
from evaluation.report.training_log import Panel, experiment_of, labels_of, panels, read_config
from evaluation.scores import Report

NAME = "report.html"
TEMPLATES = Path(__file__).parent / "templates"
NEEDED = ("jinja2", "matplotlib")
"""What the extra `page` brings, with Pillow, which matplotlib needs."""


def can_be_made() -> bool:
    """Whether the packages are there."""
    return all(find_spec(module) is not None for module in NEEDED)


def is_current(path: Path, report: Report, compared_with: Report | None) -> bool:
    """Whether the grader wrote the page at `path` of the same content."""
    if not ledger.has(path):
        return False
    experiment = experiment_of(path.parent, Path(report.representation.path))
    frames = walked_frames(path.parent, report)
    key = _key(report, compared_with, frames, written_text(experiment))
    with path.open(encoding="utf-8") as stream:
        return f'content="{key}"' in stream.read(2_000)


def walked_frames(output: Path, report: Report) -> FramesReport | None:
    """The `frames.json` beside `scores.json`, if the grader made it of the same representation."""
    found = read_own(output / FRAMES)
    same = found is not None and found.representation.sha256 == report.representation.sha256
    return found if same else None


def write_page(path: Path, material: Material) -> None:
    """Writes the page of a grading."""
    report, data = material.report, material.data
    experiment = experiment_of(material.output, Path(report.representation.path))
    frames = walked_frames(material.output, report)
    text_of_reconstructions = written_text(experiment)
    reconstructions = read_reconstructions(text_of_reconstructions, report, data)
    lost = losses(report.scores, report.details, data, material.deviations)
    known = material.known
    config = None if experiment is None else read_config(experiment)
    text = (
        environment()
        .get_template("page.html")
        .render(
            key=_key(report, material.compared_with, frames, text_of_reconstructions),
            report=report,
            compared_with=material.compared_with,
            cards=cards(report, material.compared_with),
            losses={loss.metric: loss for loss in lost},
            headline=headline(known, data.factor_names, data.unit),
            known=known,
            names=data.factor_names,
            unit=data.unit,
            without_images=data.without_images,
            without_walks=data.without_walks,
            missing_metrics=missing_metrics(report),
            shape=shape_of(report),
            heat_maps=heat_maps(material),
            factors=factor_sections(material),
            keys=keys(material),
            pairs=pairs(material),
            codes=code_sections(material),
            reconstructions=None if reconstructions is None else show(reconstructions, data),
            frames=frames,
            frames_maps=[] if frames is None else frames_maps(frames, material.order),
            left_out=max(0, report.representation.dim - MOST_CODES),
            images=len(material.numbers),
            training=[] if experiment is None else list(_curves(panels(experiment))),
            costs=costs(report, len(material.numbers)),
            origins=origins(report),
            command=command_of(report),
            config=config,
            labels=None if config is None else labels_of(config),
        )
    )
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
        ledger.enter(temporary)


@cache
def environment() -> Any:
    """The templates, in which all that is filled in is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    made.filters["number"] = number
    made.globals["best_score"] = best_score
    made.filters["percent"] = lambda value: f"{value:.0%}"
    made.filters["place"] = lambda value: f"{100 * min(max(value or 0.0, 0.0), 1.0):.1f}%"
    return made


def _shown(value: Any) -> Any:
    """A plain text without what steers, hides or turns around; line ends of a config stay.

    A `DataUri` is of another type, and long: it is not searched.
    """
    return visible_lines(value) if type(value) is str else value


def _curves(found: list[Panel]) -> Iterator[tuple[str, Picture]]:
    """Title and drawing of each panel; of a single epoch its numbers."""
    for title, lines, logarithmic in found:
        ends = ", ".join(f"{name} {values[-1]:.3g}" for name, values in lines)
        if len(lines[0][1]) == 1:
            yield title, Picture("", f"After its only epoch: {ends}.")
        else:
            drawn = drawing.histories(lines, logarithmic=logarithmic)
            yield title, Picture(drawn, f"{title}. At the end: {ends}.")


@cache
def _templates_digest() -> bytes:
    content = b"".join(path.read_bytes() for path in sorted(TEMPLATES.iterdir()))
    return hashlib.sha256(content).digest()


def _key(
    report: Report,
    compared_with: Report | None,
    frames: FramesReport | None,
    reconstructions: str | None,
) -> str:
    """What tells one content of a page from another."""
    # Not by msgspec, which refuses a file's name that is not UTF-8.
    parts = [msgspec.to_builtins(part) for part in (report, compared_with, frames)]
    content = json.dumps([*parts, reconstructions])
    return hashlib.sha256(content.encode() + _templates_digest()).hexdigest()
