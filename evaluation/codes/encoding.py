"""The codes of a dataset under a representation, which can be only a function of the image.

Images are asked for in a secret order, so that state kept from call to call tells nothing about
them. A sample is encoded again by a fresh worker in other batches and another order, where such
state shows.
"""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.codes.secret_order import generator_for
from evaluation.codes.store import CodeStore
from evaluation.codes.table import CodeTable, Draws
from evaluation.common.errors import KitError
from evaluation.common.terminal import console, progress
from evaluation.data.factor_table import Gradable
from evaluation.origin import versions
from evaluation.representation import contract
from evaluation.representation.fast_form import use_fastest_form
from evaluation.representation.finding import Found
from evaluation.representation.running import RunningRepresentation, Use
from evaluation.rules import Rules

_SECONDS_BETWEEN_KEEPING = 60.0
_SIZES_AGAIN = (1.0, 0.875, 0.75, 0.625)
"""Sizes of the batches that are encoded again, as shares of the usual one."""


@dataclass(frozen=True)
class Recheck:
    """What a fresh worker encoded again: the number of rows, and the time that it took."""

    rows: int
    seconds: float
    used: Use


@dataclass(frozen=True)
class Run:
    """How a representation behaved while it gave codes.

    Args:
        missing: What of the sandbox could not be had, a phrase each.
        used: The most that it used.
        recheck: None where none was asked for, or each code was held to a second run before.
        violations: What it did wrong and was graded all the same.
    """

    missing: list[str]
    used: Use
    recheck: Recheck | None
    violations: list[KitError]


@dataclass(frozen=True)
class Codes:
    """Codes of a dataset's images, the seconds that encoding took, and how they were made.

    `token_shares` are those of the variance of each token that its number keeps, if codes had any.
    """

    table: CodeTable
    seconds: float = 0.0
    run: Run | None = None
    token_shares: tuple[float, ...] = ()


def rows_to_recheck(rows: int) -> int:
    """How many of `rows` find one bad row in a thousand with a probability of 99 %.

    They are drawn without repeats. So of b bad rows among r all are missed by n with a probability
    of at most (1 - n / r) ** b: 3,112 of a mini's 6,454 rows, 4,595 of a million.
    """
    bad = math.ceil(rows / 1000)
    return math.ceil(rows * (1 - 0.01 ** (1 / bad))) if rows else 0


def encode(
    found: Found,
    sha256: str,
    rules: Rules,
    data: Gradable,
    draws: Draws,
    path: Path,
    recheck: bool = True,
) -> Codes:
    """The codes that `draws` ask for; those kept in the file `path` are not made again.

    Args:
        recheck: Whether a fresh worker encodes a sample again.

    Raises:
        KitError: the representation changed since it had the hash `sha256`, breaks its contract or
            a limit, or runs less isolated than the rules allow.
    """
    with _running(found, sha256, rules, data) as representation:
        missing, batch = representation.missing_isolation, representation.batch
        _tell_isolation(missing, rules.strict)
        order = generator_for("order", sha256, data.fingerprint).permutation(len(data))
        some = generator_for("probe", sha256, data.fingerprint).permutation(len(data))
        probe = data.images_at(some[: contract.PROBE_IMAGES])
        violations = _tolerated(contract.violations(representation, probe), rules)
        use_fastest_form(representation, probe)
        form = representation.form
        store = CodeStore(path, _origin(representation, sha256, data))
        table, checked = _recalled(store, len(data))
        known, start = len(table), time.monotonic()

        def fill(rows: NDArray[np.int64]) -> None:
            in_order = order[np.isin(order, rows, assume_unique=True)]
            for some, codes in _in_batches(
                representation, data, in_order, [batch], "Encoding images"
            ):
                table.put(some, codes)
                if time.monotonic() - store.kept_at > _SECONDS_BETWEEN_KEEPING:
                    store.keep(*table.content, checked)

        draws.prefill(table, fill)
        seconds = time.monotonic() - start if len(table) > known else 0.0
        used = representation.used

    filled, codes = table.content
    rechecked = None
    unchecked = filled[~checked[filled]]
    if recheck and len(unchecked):
        generator = generator_for("again", sha256, data.fingerprint)
        sample = generator.permutation(unchecked)[: rows_to_recheck(len(unchecked))]
        with _running(found, sha256, rules, data, spent=used) as representation:
            further = [one for one in representation.missing_isolation if one not in missing]
            _tell_isolation(further, rules.strict)
            missing = missing + further
            representation.form = form
            start = time.monotonic()
            changed = list(_changed(representation, data, sample, table(sample), generator))
            rechecked = Recheck(len(sample), time.monotonic() - start, representation.used)
        violations += _tolerated(iter(changed), rules)
        checked[filled] |= not changed
    if len(table) > known or rechecked is not None:
        store.keep(filled, codes, checked)
    return Codes(table, seconds, Run(missing, used, rechecked, violations))


@contextmanager
def _running(
    found: Found, sha256: str, rules: Rules, data: Gradable, spent: Use | None = None
) -> Iterator[RunningRepresentation]:
    """The representation in a fresh worker, if it still has its hash.

    Args:
        spent: What an earlier worker took of the times that all workers have together.
    """
    limits = (
        rules.limits if spent is None else rules.limits.less(spent.wall_seconds, spent.cpu_seconds)
    )
    with RunningRepresentation(found, rules.placement, limits, data.image_format) as representation:
        if representation.sha256 != sha256:
            raise KitError(
                "REPRESENTATION-CHANGED",
                f"{found.path} changed while it was graded",
                "Wait until its export has ended and grade it again",
            )
        yield representation


def _origin(representation: RunningRepresentation, sha256: str, data: Gradable) -> dict[str, Any]:
    """What codes depend on. Codes made with less isolation do not serve where there is more."""
    return {
        "representation": sha256,
        "data": data.fingerprint,
        "form": representation.form,
        "device": representation.placement.device,
        "precision": representation.used_precision,
        "isolation": representation.missing_isolation,
        "versions": versions(),
    }


def _recalled(store: CodeStore, rows: int) -> tuple[CodeTable, NDArray[np.bool_]]:
    """A table of the codes that were kept, and the mask (rows,) of those that were checked."""
    table, checked = CodeTable(rows), np.zeros(rows, dtype=bool)
    kept = store.recall()
    if kept is not None:
        table.put(kept.indices, kept.codes)
        checked[kept.indices] = kept.checked
        console.print(f"Reused {len(table):,} codes in {store.path}", markup=False)
    return table, checked


def _changed(
    representation: RunningRepresentation,
    data: Gradable,
    rows: NDArray[np.int64],
    codes: NDArray,
    generator: np.random.Generator,
) -> Iterator[KitError]:
    """Whether images `rows` (n,) get other codes than `codes` (n, dims), which they got before."""
    sizes = [max(1, round(share * representation.batch)) for share in _SIZES_AGAIN]
    sizes = list(generator.choice(sizes, size=1 + len(rows) // min(sizes)))
    batches = _in_batches(representation, data, rows, sizes, "Encoding a sample again")
    again = np.concatenate([part for _, part in batches])
    yield from contract.changes(
        representation, codes, again, lambda position: data.images_at(rows[[position]])[0]
    )


def _in_batches(
    representation: RunningRepresentation,
    data: Gradable,
    rows: NDArray[np.int64],
    sizes: list[int],
    doing: str,
) -> Iterator[tuple[NDArray[np.int64], NDArray]]:
    """Rows and their codes, in batches of these sizes; the last size goes on to the end."""
    done = 0
    with progress(doing, len(rows)) as advance:
        while done < len(rows):
            batch = rows[done : done + sizes[0]]
            sizes = sizes[1:] or sizes
            yield batch, representation.encode(data.images_at(batch))
            done += len(batch)
            advance(len(batch))


def _tell_isolation(missing: list[str], strict: bool) -> None:
    if not missing:
        return
    if strict:
        raise KitError(
            "STRICT-ISOLATION",
            f"This machine does not isolate what it grades: {'; '.join(missing)}",
            "Grade on Linux 6.12 or later with user namespaces and Landlock, or without --strict",
        )
    console.print(
        f"This machine does not isolate what it grades: {'; '.join(missing)}", markup=False
    )


def _tolerated(violations: Iterator[KitError], rules: Rules) -> list[KitError]:
    """The violations, if the rules let them be graded; else the first is raised."""
    tolerated = []
    for violation in violations:
        if not rules.allow_unstable:
            raise violation
        console.print(f"Graded all the same: {violation.problem}", markup=False)
        tolerated.append(violation)
    return tolerated
