"""The main path: codes of a dataset, the metrics on them, and the scores that are written."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray

from evaluation import ledger
from evaluation.baselines import noise_table, spread
from evaluation.code_store import CodeStore, digest_of_codes, read_codes
from evaluation.codes import CodeTable, given_table, table_of
from evaluation.common.errors import KitError
from evaluation.common.files import write_json
from evaluation.common.terminal import console, progress
from evaluation.data.ground_truth import ImageGrid, IndexGrid
from evaluation.metrics import METRICS
from evaluation.representation import contract
from evaluation.representation.fast_form import use_fastest_form
from evaluation.representation.finding import Found
from evaluation.representation.limits import Limits
from evaluation.representation.running import Representation
from evaluation.representation.staging import digest_of
from evaluation.scores import plain, reusable, source_digest, versions

FAST = "fast"
REFERENCE = "disentanglement_lib"


@dataclass(frozen=True)
class Protocol:
    """How to grade.

    Args:
        metrics: Names in `metrics.METRICS`.
        engine: FAST or REFERENCE.
        verify: Whether to run the other engine too.
        seed: First sampling seed; the challenge's is 0.
        seeds: How many seeds, one after another.
        device: "cpu" or "cuda".
        precision: "float32" or "bf16".
        allow_unstable: Whether to grade a representation whose codes vary.
    """

    metrics: tuple[str, ...]
    engine: str = FAST
    verify: bool = False
    seed: int = 0
    seeds: int = 1
    device: str = "cpu"
    precision: str = "float32"
    allow_unstable: bool = False
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class OpenedCodes:
    """Codes of a dataset, and the hash of the representation or file that they come from."""

    codes: CodeTable
    sha256: str


@dataclass(frozen=True)
class Evaluation:
    """What the metrics returned for one table of codes and one seed."""

    results: dict[str, dict[str, Any]]
    seconds: dict[str, float]

    @property
    def scores(self) -> dict[str, float]:
        return {
            name: float(result[METRICS[name].score_key]) for name, result in self.results.items()
        }

    @property
    def further(self) -> dict[str, float]:
        """Further scores worth showing, as `metric.key`."""
        return {
            f"{name}.{key}": float(result[key])
            for name, result in self.results.items()
            for key in METRICS[name].further_keys
        }


@dataclass(frozen=True)
class Untrained:
    """What an untrained encoder scores with each seed of the protocol, and its hash."""

    evaluations: list[Evaluation]
    sha256: str


def evaluate(
    names: Sequence[str], engine: str, grid: IndexGrid, codes: CodeTable, seed: int
) -> Evaluation:
    """Runs the metrics, each from a fresh `RandomState(seed)`; encoding is not in their seconds."""
    results, seconds = {}, {}
    with progress("Metrics", len(names), alike=False) as advance:
        for name in names:
            advance(0, note=name)
            compute = METRICS[name].load()
            if engine == REFERENCE:
                from evaluation import reference

                # It asks for a small batch at a time. Ours draws the same and asks for all at once.
                compute(grid, codes, RandomState(seed))
                compute = reference.load(METRICS[name])
            start, encoding = time.monotonic(), codes.seconds
            results[name] = compute(grid, codes, RandomState(seed))
            seconds[name] = time.monotonic() - start - (codes.seconds - encoding)
            advance(1)
    return Evaluation(results, seconds)


def grade(
    found: Found,
    data: ImageGrid,
    protocol: Protocol,
    folder: Path,
    untrained: Untrained | None = None,
) -> dict[str, Any]:
    """Grades a representation or a table of codes into `scores.json`, whose content it returns.

    Scores that are there, made from the same, are returned as they are.

    Args:
        folder: Where `scores.json` is written; codes are kept there too, for a later run.
        untrained: An untrained encoder's scores, to be shown beside it.

    Raises:
        KitError: it cannot be graded.
    """
    console.print(f"Grading {found.path} on {data.name}", markup=False)
    path = folder / "scores.json"
    origin = {
        "representation": _digest(found, protocol),
        "untrained": None if untrained is None else untrained.sha256,
        "data": data.fingerprint,
        "protocol": plain(asdict(protocol)),
        "grader": source_digest(),
    }
    known = reusable(path, origin)
    if known is not None:
        console.print(f"Reused {path}, which was made from the same", markup=False)
        return known
    with open_codes(found, data, protocol, folder / "codes.npz") as opened:
        report = _report(opened.codes, data, protocol, untrained)
    report["representation"] = {
        "path": str(found.path),
        "kind": found.kind,
        "sha256": opened.sha256,
        "dim": opened.codes.dim,
    }
    report["made_from"] = origin | {"representation": opened.sha256}
    write_json(path, report)
    ledger.enter(path)
    return report


def grade_untrained(found: Found, data: ImageGrid, protocol: Protocol, store: Path) -> Untrained:
    """Scores an untrained encoder, whose codes are kept in the file `store`.

    Raises:
        KitError: it cannot be graded.
    """
    console.print(f"Grading the untrained {found.path} on {data.name}", markup=False)
    grid = IndexGrid(data.factor_sizes)
    with open_codes(found, data, protocol, store) as opened:
        evaluations = _evaluate_seeds(protocol, FAST, grid, opened.codes)
    return Untrained(evaluations, opened.sha256)


@cache
def _grade_noise(protocol: Protocol, factor_sizes: tuple[int, ...], dim: int) -> list[Evaluation]:
    """What noise scores with each seed, once for all representations of as many dims."""
    grid = IndexGrid(factor_sizes)
    return _evaluate_seeds(protocol, FAST, grid, noise_table(len(grid), dim, protocol.seed))


@contextmanager
def open_codes(
    found: Found, data: ImageGrid, protocol: Protocol, store: Path
) -> Iterator[OpenedCodes]:
    """Yields the codes of the dataset's images.

    A representation is held to its contract before, and once more after, on what it encoded. Its
    codes are kept in the file `store`.
    """
    if found.kind == "codes":
        yield OpenedCodes(
            given_table(read_codes(found.path, data, protocol.limits.dims)),
            _digest(found, protocol),
        )
        return
    probe = data.images_at(_some(np.arange(len(data)), contract.PROBE_IMAGES))
    with Representation(
        found, protocol.device, protocol.precision, protocol.limits
    ) as representation:
        if representation.missing_isolation:
            phrases = "; ".join(representation.missing_isolation)
            console.print(f"This machine does not isolate what it grades: {phrases}", markup=False)
        _weigh(contract.violations(representation, probe), protocol)
        use_fastest_form(representation, probe)
        origin = {
            "representation": representation.sha256,
            "data": data.fingerprint,
            "form": representation.form,
            "device": protocol.device,
            "precision": representation.used_precision,
            "versions": versions(),
        }
        stored = CodeStore(store, origin)
        codes = table_of(data, representation, stored)
        yield OpenedCodes(codes, representation.sha256)
        filled, content = codes.content
        rows = _some(np.arange(len(filled)), contract.PROBE_IMAGES)
        again = data.images_at(filled[rows])
        _weigh(contract.drift(representation, again, content[rows]), protocol)
        if codes.seconds > 0:
            stored.keep(filled, content)


def _digest(found: Found, protocol: Protocol) -> str:
    if found.kind == "codes":
        return digest_of_codes(found.path, protocol.limits.dims)
    return digest_of(found.path, protocol.limits)


def _weigh(violations: Iterator[KitError], protocol: Protocol) -> None:
    for violation in violations:
        if not protocol.allow_unstable:
            raise violation
        console.print(f"Graded all the same: {violation.problem}", markup=False)


def _some(rows: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    """Up to `number` of the rows, in an order that tells nothing about their factors."""
    return RandomState(0).permutation(rows)[:number]


def _report(
    codes: CodeTable, data: ImageGrid, protocol: Protocol, untrained: Untrained | None
) -> dict[str, Any]:
    grid = IndexGrid(data.factor_sizes)
    evaluations = _evaluate_seeds(protocol, protocol.engine, grid, codes)
    graded = evaluations[0]
    baselines = {"noise": _grade_noise(protocol, data.factor_sizes, codes.dim)}
    if untrained is not None:
        baselines["untrained"] = untrained.evaluations
    report: dict[str, Any] = {
        "scores": graded.scores,
        "details": graded.results,
        "seconds": {"encode": codes.seconds, **graded.seconds},
        "dataset": data.name,
        "factor_sizes": data.factor_sizes,
        "engine": protocol.engine,
        "seed": protocol.seed,
        "versions": versions(),
        "baselines": {
            name: {**of_seed[0].scores, **of_seed[0].further} for name, of_seed in baselines.items()
        },
    }
    if protocol.seeds > 1:
        report["seeds"] = {
            name: spread([evaluation.scores[name] for evaluation in evaluations])
            | {
                "baselines": {
                    baseline: np.mean([evaluation.scores[name] for evaluation in of_seed])
                    for baseline, of_seed in baselines.items()
                }
            }
            for name in protocol.metrics
        }
    if protocol.verify:
        report["verification"] = verify(graded, grid, codes, protocol)
    return plain(report)


def _evaluate_seeds(
    protocol: Protocol, engine: str, grid: IndexGrid, codes: CodeTable
) -> list[Evaluation]:
    return [
        evaluate(protocol.metrics, engine, grid, codes, seed)
        for seed in range(protocol.seed, protocol.seed + protocol.seeds)
    ]


def verify(
    graded: Evaluation, grid: IndexGrid, codes: CodeTable, protocol: Protocol
) -> dict[str, dict[str, Any]]:
    """The scores of both engines on the same codes, where a metric has a reference."""
    other = REFERENCE if protocol.engine == FAST else FAST
    comparison = {}
    for name in protocol.metrics:
        if METRICS[name].reference is None:
            continue
        scores = {protocol.engine: graded.scores[name]}
        try:
            scores[other] = evaluate([name], other, grid, codes, protocol.seed).scores[name]
        except KitError as error:
            if error.code != "REFERENCE-FAILS":
                raise
            scores[other] = np.nan
        fast, reference = scores[FAST], scores[REFERENCE]
        # Where the reference has no score, ours has nothing to equal.
        within = not np.isfinite(reference) or abs(fast - reference) <= METRICS[name].tolerance
        comparison[name] = {
            FAST: fast,
            REFERENCE: reference,
            "tolerance": METRICS[name].tolerance,
            "within": bool(within),
        }
    return comparison
