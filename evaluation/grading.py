"""The main path: subjects, their codes, the metrics on them, and the scores that are written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evaluation import outputs
from evaluation.codes.beside import Beside
from evaluation.codes.encoding import Codes
from evaluation.codes.subjects import Content, Subject, behaviour_of, open_subject
from evaluation.codes.table import CodeTable, Draws, nothing
from evaluation.common.errors import KitError, tell
from evaluation.common.escaping import visible
from evaluation.common.terminal import console
from evaluation.data.factor_table import NUM_BINS, Gradable, Numbered
from evaluation.data.own.dataset import OwnData
from evaluation.many.jobs import Grading, Scheduler, Work, jobs_in, one_after_another
from evaluation.metrics.baselines import Noise, spread
from evaluation.metrics.tables.applicability import left_out
from evaluation.metrics.tables.tokens import rows_to_fit
from evaluation.origin import grader_digest, versions
from evaluation.report import page, printed
from evaluation.report.printed import Row
from evaluation.representation.finding import Found, by_name
from evaluation.rules import FAST, Rules
from evaluation.scores import (
    Graded,
    MadeFrom,
    OwnRows,
    Report,
    Spread,
    Summary,
    Tokens,
    plain,
    reusable,
    write,
)
from evaluation.scoring import Evaluation, evaluate_seeds, verify

MOST_PAGES = 100
"""Of more gradings at once no pages are made: a page takes seconds, a table of codes a second."""


@dataclass(frozen=True)
class Untrained:
    """What an untrained encoder scores with each seed of the rules, and its hash."""

    evaluations: list[Evaluation]
    sha256: str


@dataclass(frozen=True)
class Pages:
    """That each grading leaves a page, and the run that it shows beside the graded one."""

    compared_with: Report | None = None


@dataclass(frozen=True)
class Outcome:
    """The scores of all that was graded, by name, and the refusals of the others."""

    rows: dict[str, Row]
    refused: list[KitError]


def grade_all(
    founds: Sequence[Found],
    unfound: Sequence[KitError],
    data: Gradable,
    rules: Rules,
    folder: Path,
    baseline: Found | None = None,
    pages: Pages | None = None,
    grader: Scheduler = one_after_another,
    open_data: Callable[[], Gradable] | None = None,
) -> Outcome:
    """Grades what was found, shows the scores, and prints a line for each refusal.

    One alone is graded into `folder`. Of several each has a folder of its own in there, and
    `all_scores.json` has the scores of all.

    Args:
        unfound: Why other things that the user named were not found.
        baseline: An untrained encoder, to be shown beside each.
        pages: What to show on the pages beside the scores; none is left if None.
        grader: Where the gradings run; the scores are the same.
        open_data: Opens `data` anew in another process; needed by graders that use others.

    Raises:
        KitError: the baseline cannot be graded.
    """
    if pages is not None and not page.can_be_made():
        console.print("The page of the scores is left out: it needs the kit's extra 'page'")
        pages = None
    untrained = None
    if baseline is not None:
        untrained = grade_untrained(baseline, data, rules, folder / outputs.UNTRAINED_CODES)
    named = by_name(founds, taken=(*outputs.NAMES, page.NAME))
    alone = len(named) + len(unfound) == 1
    if pages is not None and len(named) > MOST_PAGES:
        console.print(
            f"No pages are left, since there are more than {MOST_PAGES} gradings; to have one's "
            "page, grade it alone with its folder as --output"
        )
        pages = None
    work = Work(open_data or (lambda: data), partial(_grade_job, rules, untrained, pages, alone))
    results: dict[str, Report | Row | KitError] = {}
    try:
        for name, result in grader(jobs_in(folder, named, alone), work):
            results[name] = result
    finally:  # a bug or an interrupt loses none of the others' scores
        in_order = [(name, results[name]) for name in named if name in results]
        rows = {name: one for name, one in in_order if isinstance(one, Row)}
        refused = [*unfound, *(one for _, one in in_order if isinstance(one, KitError))]
        # Where nothing could begin, as without a cluster, an earlier summary stays.
        if not alone and (rows or refused):
            summary = Summary(
                scores={name: row.scores for name, row in rows.items()},
                baselines=printed.baselines_of(rows.values()),
                refused=[str(refusal) for refusal in refused],
            )
            write(folder / outputs.ALL_SCORES, summary)
            printed.print_all(rows)
        for refusal in refused:
            tell(refusal)
    for name, graded in in_order:
        if isinstance(graded, Report):
            printed.print_report(graded)
            if pages is not None:
                console.print(f"What the codes know: {folder / page.NAME}", markup=False)
            rows[name] = printed.row_of(graded)
    return Outcome(rows, refused)


def _grade_job(
    rules: Rules,
    untrained: Untrained | None,
    pages: Pages | None,
    alone: bool,
    job: Grading,
    data: Gradable,
) -> Report | Row:
    """The report of one that is graded alone, which is printed; of several what a table needs."""
    report = grade(job.found, data, rules, job.folder, untrained, pages)
    return report if alone else printed.row_of(report)


def grade(
    found: Found,
    data: Gradable,
    rules: Rules,
    folder: Path,
    untrained: Untrained | None = None,
    pages: Pages | None = None,
) -> Report:
    """Grades a representation or a table of codes into `scores.json`, whose content it returns.

    Scores that are there, made from the same, are returned as they are. A page, `report.html`, is
    written beside them.

    Args:
        folder: Where `scores.json` is written; codes are kept there too, for a later run.
        untrained: An untrained encoder's scores, to be shown beside it.
        pages: What to show on the page; none is written if None.

    Raises:
        KitError: it cannot be graded.
    """
    console.print(f"Grading {found.shown} on {data.name}", markup=False)
    outputs.require_room(folder, outputs.SCORES, outputs.CODES, page.NAME)
    subject = open_subject(found, rules)
    path = folder / outputs.SCORES
    made_from = MadeFrom(
        representation=subject.sha256,
        untrained=None if untrained is None else untrained.sha256,
        data=data.fingerprint,
        protocol=rules.as_written,
        grader=grader_digest(),
    )
    known = reusable(path, made_from, found.kind)
    if known is not None:
        console.print(f"Reused {visible(str(path))}, which was made from the same", markup=False)
        shown = folder / page.NAME
        if pages is not None and not page.is_current(shown, known, pages.compared_with):
            content = subject.known_codes(data, folder / outputs.CODES)
            _leave_page(known, data, content, folder, pages)
        return known
    reasons = left_out(data.numbered, rules.metrics)
    rules = allowed(rules, reasons)
    draws = Draws(data.numbered, rules.metrics, rules.all_seeds)
    scored = Beside("Metrics", partial(_scored, rules, data.numbered))
    # The reference's metrics take minutes, in which what was refused would keep a processor busy.
    filled = scored.start if rules.implementation == FAST else nothing
    codes = subject.codes_of(data, draws, folder / outputs.CODES, filled=filled)
    made = _report(
        subject, codes, scored.result(codes.table), data, rules, untrained, made_from, reasons
    )
    write(path, made)
    if pages is not None:
        _leave_page(made, data, codes.table.content, folder, pages)
    return made


def _leave_page(
    report: Report,
    data: Gradable,
    content: Content | None,
    folder: Path,
    pages: Pages,
) -> None:
    """Writes the page of a grading, if there are codes."""
    if content is None:
        return
    material = page.Material.sampled(report, data, content, folder, pages.compared_with)
    page.write_page(folder / page.NAME, material)


def grade_untrained(found: Found, data: Gradable, rules: Rules, store: Path) -> Untrained:
    """Scores an untrained encoder, whose codes are kept in the file `store`.

    No sample of it is encoded again: its scores win nothing, and whoever grades has chosen it.

    Raises:
        KitError: it cannot be graded.
    """
    console.print(f"Grading the untrained {found.shown} on {data.name}", markup=False)
    outputs.require_room(store.parent, store.name)
    subject = open_subject(found, rules)
    rules = allowed(rules, left_out(data.numbered, rules.metrics))
    draws = Draws(data.numbered, rules.metrics, rules.all_seeds)
    codes = subject.codes_of(data, draws, store, recheck=False)
    evaluations = evaluate_seeds(rules, FAST, draws.data, codes.table)
    return Untrained(evaluations, subject.sha256)


def allowed(rules: Rules, left_out: Mapping[str, str]) -> Rules:
    """The rules without the metrics that the rows do not allow, of which there are the reasons.

    Raises:
        KitError: none of the metrics is left.
    """
    kept = rules.without(left_out)
    if not kept.metrics:
        name, reason = next(iter(left_out.items()))
        raise KitError(
            "METRIC-ROWS",
            f"these rows allow no {name}: {reason}",
            "Choose other metrics, or give more rows",
        )
    return kept


@cache
def _grade_noise(rules: Rules, data: Numbered, dim: int) -> list[Evaluation]:
    """What noise scores with each seed, once for all representations of as many dims."""
    return evaluate_seeds(rules, FAST, data, Noise(len(data), dim, rules.seed))


class _Scored(NamedTuple):
    """What codes score with each seed of the rules, and what noise of as many dims does."""

    evaluations: list[Evaluation]
    noise: list[Evaluation]


def _scored(rules: Rules, data: Numbered, table: CodeTable) -> _Scored:
    return _Scored(
        evaluate_seeds(rules, rules.implementation, data, table),
        _grade_noise(rules, data, table.dim),
    )


def _report(
    subject: Subject,
    codes: Codes,
    scored: _Scored,
    data: Gradable,
    rules: Rules,
    untrained: Untrained | None,
    made_from: MadeFrom,
    reasons: Mapping[str, str],
) -> Report:
    numbered, table = data.numbered, codes.table
    evaluations = scored.evaluations
    baselines = {"noise": scored.noise}
    if untrained is not None:
        baselines["untrained"] = untrained.evaluations
    graded = evaluations[0]
    optional: dict[str, Any] = {}
    if rules.seeds > 1:
        optional["seeds"] = _spreads(rules, evaluations, baselines)
    if rules.verify:
        optional["verification"] = verify(graded, numbered, table, rules)
    if codes.run is not None:
        optional |= behaviour_of(codes.run)
    if isinstance(data, OwnData):
        optional["own_data"] = OwnRows(
            rows=len(data),
            full_grid=data.full_grid,
            factors={column.name: column.kind for column in data.columns},
            bins=NUM_BINS,
            left_out=dict(reasons),
            flags=list(data.flags),
        )
    if codes.components is not None:
        number, width = codes.components.means.shape
        optional["tokens"] = Tokens(
            number=number,
            width=width,
            rows=len(rows_to_fit(len(data), rules.seed)),
            shares=codes.components.shares.tolist(),
        )
    return Report(
        scores=plain(graded.scores),
        details=plain(graded.results),
        seconds={"encode": codes.seconds, **graded.seconds},
        dataset=data.name,
        factor_sizes=list(data.factor_sizes),
        engine=rules.implementation,
        seed=rules.seed,
        versions=versions(),
        baselines={
            name: plain(of_seed[0].scores | of_seed[0].further)
            for name, of_seed in baselines.items()
        },
        representation=Graded(
            path=str(subject.found.path),
            kind=subject.found.kind,
            sha256=subject.sha256,
            dim=table.dim,
        ),
        made_from=made_from,
        **optional,
    )


def _spreads(
    rules: Rules, evaluations: Sequence[Evaluation], baselines: dict[str, list[Evaluation]]
) -> dict[str, Spread]:
    return {
        name: Spread(
            **spread([evaluation.scores[name] for evaluation in evaluations]),
            baselines={
                baseline: float(np.mean([evaluation.scores[name] for evaluation in of_seed]))
                for baseline, of_seed in baselines.items()
            },
        )
        for name in rules.metrics
    }
