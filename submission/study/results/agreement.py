"""How much the runs of a setting agree: UDR, from the codes that the grader kept."""

from collections.abc import Hashable, Mapping
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from evaluation import outputs
from evaluation.codes.store import kept_codes
from evaluation.common.files import sha256_of
from submission.study.plan import Plan, Run
from submission.study.records import Record
from submission.study.results.udr import ranking
from submission.study.running import codes_file, read_curves
from submission.study.settings import identity

_MOST_IMAGES = 1000


def udr_of(plan: Plan, records: Mapping[str, Record]) -> dict[str, float]:
    """The UDR of each run that another seed of its setting can be compared with, by its key.

    It is that of the codes of the first dataset that the runs are graded on. Runs of methods
    without a divergence of each code have none.
    """
    settings: dict[tuple[Hashable, str], list[Run]] = {}
    for run in plan.runs:
        if run.key in records and records[run.key].state == "done":
            settings.setdefault((identity(run.setting), run.dataset), []).append(run)
    found: dict[str, float] = {}
    for runs in settings.values():
        found |= _udr_of_setting(runs, records)
    return found


def _udr_of_setting(runs: list[Run], records: Mapping[str, Record]) -> dict[str, float]:
    codes = {run.key: known for run in runs if (known := _codes(run, records[run.key]))}
    if len(codes) < 2:
        return {}
    common = reduce(np.intersect1d, (numbers for numbers, _, _ in codes.values()))
    some = np.random.default_rng(0).permutation(common)[:_MOST_IMAGES]
    tables = [table[np.searchsorted(numbers, some)] for numbers, table, _ in codes.values()]
    scores = ranking(tables, [by_code for _, _, by_code in codes.values()])
    return dict(zip(codes, scores, strict=True))


def _codes(run: Run, record: Record) -> tuple[NDArray[np.int64], NDArray, NDArray] | None:
    """Numbers (n,) in order, codes (n, d) and divergences (d,) of a run, if all are known."""
    kept = _kept(run, record)
    last = (read_curves(run.folder) or [{}])[-1]
    divergences = [last[name] for name in _names_of_divergences(last)]
    if kept is None or len(divergences) != kept[1].shape[1]:
        return None
    order = np.argsort(kept[0])
    return kept[0][order], kept[1][order], np.array(divergences)


def _kept(run: Run, record: Record) -> tuple[NDArray[np.int64], NDArray] | None:
    """Numbers (n,) and codes (n, d) of the first dataset that a run is graded on."""
    dataset, graded = next(iter(record.graded.items()))
    if record.codes_from == "images":
        store = run.folder / "graded" / dataset / outputs.CODES
        return kept_codes(store, record.representation, "torchscript", graded.data)
    path = codes_file(run, dataset)
    # What was graded is what the digest names; the file may have been replaced since.
    if not path.is_file() or sha256_of(path) != record.representation:
        return None
    codes = np.load(path)
    return np.arange(len(codes)), codes


def _names_of_divergences(row: Mapping[str, float]) -> list[str]:
    names = [name for name in row if name.startswith("KLD_code_")]
    return sorted(names, key=lambda name: int(name.removeprefix("KLD_code_")))
