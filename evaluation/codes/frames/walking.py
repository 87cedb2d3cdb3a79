"""Runs representations on frames, in the sandbox, and says which code follows which walk."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from evaluation import outputs
from evaluation.codes import ledger
from evaluation.codes.encoding import encode
from evaluation.codes.frames.content import NAME, ByChance, FramesReport, Walked, WalkedSet
from evaluation.codes.frames.shares import (
    chance,
    mean_share,
    own_rows,
    strongest_codes,
    walked_shares,
)
from evaluation.codes.subjects import behaviour_of, open_subject
from evaluation.codes.table import EveryImage
from evaluation.common.errors import KitError, tell
from evaluation.common.files import write_json
from evaluation.common.terminal import console
from evaluation.data.frames import Frames
from evaluation.many.jobs import Grading, Work, jobs_in, one_after_another
from evaluation.origin import versions
from evaluation.representation.finding import Found, by_name
from evaluation.rules import Rules
from evaluation.scores import Graded, plain

CODES = "frames_codes.npz"


def walk_all(
    founds: Sequence[Found],
    unfound: Sequence[KitError],
    frames: Frames,
    rules: Rules,
    folder: Path,
) -> tuple[dict[str, FramesReport], list[KitError]]:
    """Walks each representation along the frames, and writes a `frames.json` for each.

    One alone has it in `folder`, each of several in a folder of its own in there, as a grading has.
    A line is printed for each refusal, which stops none of the others.

    Args:
        unfound: Why other things that the user named were not found.

    Returns:
        The reports by name, and the refusals.
    """
    named = by_name(founds)
    alone = len(named) + len(unfound) == 1
    reports: dict[str, FramesReport] = {}
    refused = list(unfound)
    work: Work[Grading, Frames, FramesReport] = Work(
        lambda: frames, lambda job, frames: _walk(job.found, frames, rules, job.folder)
    )
    for name, result in one_after_another(jobs_in(folder, named, alone), work):
        if isinstance(result, KitError):
            refused.append(result)
        else:
            reports[name] = result
    for refusal in refused:
        tell(refusal)
    return reports, refused


def walked_set(codes: NDArray, walks: NDArray[np.int64], factor_names: Sequence[str]) -> WalkedSet:
    """What codes (n, dims) of all images say of the walks (factors, steps) of one set."""
    shares = walked_shares(codes, list(walks))
    strongest = strongest_codes(shares)
    by_chance = chance(len(codes), codes.shape[1], list(walks))
    return WalkedSet(
        walked=[
            Walked(
                factor=factor,
                images=len(np.unique(walk)),
                code=one.code,
                share=one.share,
                strongest=one.is_its_own,
            )
            for factor, walk, one in zip(factor_names, walks, strongest, strict=True)
        ],
        rows_strongest=own_rows(strongest),
        mean_share=mean_share(strongest),
        noise=ByChance(rows_strongest=by_chance.rows, mean_share=by_chance.share),
        shares=plain(shares),
    )


def _walk(found: Found, frames: Frames, rules: Rules, folder: Path) -> FramesReport:
    console.print(f"Running {found.shown} on {len(frames):,} frames", markup=False)
    outputs.require_room(folder, NAME, CODES)
    subject = open_subject(found, rules)
    codes = encode(found, subject.sha256, rules, frames, EveryImage(), folder / CODES)
    numbers, table = codes.table.content
    assert len(numbers) == len(frames) and codes.run is not None
    report = FramesReport(
        sets={
            title: walked_set(table, walks, frames.factor_names)
            for title, walks in frames.walks.items()
        },
        factor_names=list(frames.factor_names),
        frames=frames.name,
        frames_sha256=frames.fingerprint,
        representation=Graded(
            path=str(found.path), kind=found.kind, sha256=subject.sha256, dim=table.shape[1]
        ),
        **behaviour_of(codes.run),
        versions=versions(),
    )
    write_json(folder / NAME, msgspec.to_builtins(report))
    ledger.enter(folder / NAME)
    console.print(f"Wrote {folder / NAME}", markup=False)
    return report
