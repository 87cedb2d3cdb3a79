"""Encodes a dataset's images, and checks that a code depends only on its image.

The images are encoded in a secret order, so a representation cannot guess an image from the calls
before. A new worker process encodes a sample again, in other batches and another order. A
representation that uses state from earlier calls gives other codes there.
"""

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation.codes.secret_order import generator_for
from evaluation.codes.store import CodeStore
from evaluation.codes.table import CodeTable, Filled, Wanted, nothing
from evaluation.codes.token_codes import TokenCodes
from evaluation.common.errors import KitError
from evaluation.common.terminal import console, progress
from evaluation.data.factor_table import NumberedImages
from evaluation.metrics.tables.tokens import Components, rows_to_fit
from evaluation.origin import versions
from evaluation.representation import contract
from evaluation.representation.fast_form import use_fastest_form
from evaluation.representation.finding import Found
from evaluation.representation.running import RunningRepresentation, Use
from evaluation.rules import Rules

_SECONDS_BETWEEN_KEEPING = 60.0
_MOST_AGAIN = 4_606
"""Never fewer than `rows_to_recheck`."""
_SIZES_AGAIN = (1.0, 0.875, 0.75, 0.625)
"""Sizes of the batches that are encoded again, as shares of the usual one."""


@dataclass(frozen=True)
class Recheck:
    """The result of encoding a sample again.

    Args:
        rows: Number of images that were encoded again.
        seconds: The time that this took.
        used: The resources that the second worker used.
    """

    rows: int
    seconds: float
    used: Use


@dataclass(frozen=True)
class Run:
    """How a representation behaved while it encoded images.

    Args:
        missing: The layers of the sandbox that this machine lacks, a phrase for each.
        used: The most resources that it used.
        recheck: None if no recheck was wanted, or if an earlier run had checked every code.
        violations: The violations of the contract that `--allow-unstable` accepted.
    """

    missing: list[str]
    used: Use
    recheck: Recheck | None
    violations: list[KitError]


@dataclass(frozen=True)
class Codes:
    """The codes of a dataset's images.

    Args:
        table: The codes.
        seconds: How long encoding took.
        run: How the representation behaved; None for codes that came from a file.
        components: What made each token one number, for codes with tokens.
    """

    table: CodeTable
    seconds: float = 0.0
    run: Run | None = None
    components: Components | None = None


def rows_to_recheck(rows: int) -> int:
    """The size of a sample that finds one bad row in a thousand with a probability of 99 %.

    The sample is drawn without repeats. If b of r rows are bad, a sample of n rows misses all of
    them with a probability of at most (1 - n / r) ** b. That gives 3,112 of a mini's 6,454 rows,
    and 4,595 of a million.
    """
    bad = math.ceil(rows / 1000)
    return math.ceil(rows * (1 - 0.01 ** (1 / bad))) if rows else 0


def encode(
    found: Found,
    sha256: str,
    rules: Rules,
    data: NumberedImages,
    wanted: Wanted,
    path: Path,
    recheck: bool = True,
    filled: Filled = nothing,
) -> Codes:
    """Encodes the images that are `wanted`, except those whose codes are in the file `path`.

    Args:
        found: The representation.
        sha256: Its hash, which it must still have.
        rules: How it may run.
        data: The dataset.
        wanted: The images that are needed.
        path: The file of codes, read first and written at the end.
        recheck: Whether a new worker encodes a sample again.
        filled: Called with the whole table before that, when the first worker has ended.

    Raises:
        KitError: the representation changed, breaks its contract or a limit, or runs with less
            isolation than the rules allow.
    """
    with _running(found, sha256, rules, data) as representation:
        missing, batch = representation.missing_isolation, representation.batch
        _tell_isolation(missing, rules.strict)
        order = generator_for("order", sha256, data.fingerprint).permutation(len(data))
        probe = _probe(data, sha256)
        violations = _tolerated(contract.violations(representation, probe), rules)
        use_fastest_form(representation, probe)
        form = representation.form
        # The images in the order in which they would be encoded again.
        generator = generator_for("again", sha256, data.fingerprint)
        again = generator.permutation(len(data))
        store = CodeStore(path, _origin(representation, sha256, data, rules.seed))
        table, checked, tokens = _recalled(store, again)
        known, start = len(table), time.monotonic()
        if tokens is None and representation.token_shape is not None:
            rows, codes = _to_fit(representation, data, order, rules.seed)
            tokens = TokenCodes.fitted(codes, representation.token_shape)
            tokens.want(_first_of(again, rows, _MOST_AGAIN))
            table.put(rows, tokens.reduce(rows, codes))

        def fill(rows: NDArray[np.int64]) -> None:
            if tokens is not None:
                unchecked = np.concatenate([table.unchecked(checked), rows])
                tokens.want(_first_of(again, unchecked, _MOST_AGAIN))
            for encoded, codes in _in_batches(
                representation, data, _first_of(order, rows), [batch], "Encoding images"
            ):
                table.put(encoded, codes if tokens is None else tokens.reduce(encoded, codes))
                if time.monotonic() - store.kept_at > _SECONDS_BETWEEN_KEEPING:
                    store.keep(*table.content, checked, tokens)

        wanted.prefill(table, fill)
        seconds = time.monotonic() - start if len(table) > known else 0.0
        used = representation.used

    rechecked = None
    unchecked = table.unchecked(checked)
    if recheck and len(unchecked):
        filled(table)
        sample = _first_of(again, unchecked, rows_to_recheck(len(unchecked)))
        codes = table(sample) if tokens is None else tokens.unreduced(sample)
        with _running(found, sha256, rules, data, spent=used) as representation:
            further = [one for one in representation.missing_isolation if one not in missing]
            _tell_isolation(further, rules.strict)
            missing = missing + further
            representation.form = form
            start = time.monotonic()
            changed = list(_changed(representation, data, sample, codes, generator))
            rechecked = Recheck(len(sample), time.monotonic() - start, representation.used)
        violations += _tolerated(iter(changed), rules)
        checked[unchecked] |= not changed
    if len(table) > known or rechecked is not None:
        if tokens is not None:
            tokens.want(table.unchecked(checked))
        store.keep(*table.content, checked, tokens)
    components = None if tokens is None else tokens.components
    return Codes(table, seconds, Run(missing, used, rechecked, violations), components)


def _probe(data: NumberedImages, sha256: str) -> NDArray:
    """The images that show whether a representation keeps its contract."""
    shuffled = generator_for("probe", sha256, data.fingerprint).permutation(len(data))
    return data.images_at(shuffled[: contract.PROBE_IMAGES])


@contextmanager
def _running(
    found: Found, sha256: str, rules: Rules, data: NumberedImages, spent: Use | None = None
) -> Iterator[RunningRepresentation]:
    """Runs the representation in a new worker, after a check that its hash did not change.

    Args:
        spent: What an earlier worker used; the limits of time are for all workers together.

    Raises:
        KitError: `REPRESENTATION-CHANGED`, it has another hash.
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


def _to_fit(
    representation: RunningRepresentation, data: NumberedImages, order: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], NDArray]:
    """The rows that a table of codes would be fitted on, and their unreduced codes."""
    shape = representation.token_shape
    assert shape is not None
    console.print(
        f"{representation.found.path} gives {shape[0]} tokens of {shape[1]} numbers; each becomes"
        " one, its first principal component",
        markup=False,
    )
    rows = rows_to_fit(len(data), seed)
    codes: NDArray | None = None
    for encoded, part in _in_batches(
        representation, data, _first_of(order, rows), [representation.batch], "Encoding to fit"
    ):
        if codes is None:
            codes = np.empty((len(rows), math.prod(shape)), dtype=part.dtype)
        codes[np.searchsorted(rows, encoded)] = part
    assert codes is not None
    return rows, codes


def _first_of(
    order: NDArray[np.int64], rows: NDArray[np.int64], most: int | None = None
) -> NDArray[np.int64]:
    """At most so many of the rows (n,), all different, that come first in an order of all."""
    return order[np.isin(order, rows, assume_unique=True)][:most]


def _origin(
    representation: RunningRepresentation, sha256: str, data: NumberedImages, seed: int
) -> dict[str, Any]:
    """All that codes depend on. Codes made with less isolation are not used where there is more."""
    of_tokens = {} if representation.token_shape is None else {"seed": seed}
    return of_tokens | {
        "representation": sha256,
        "data": data.fingerprint,
        "form": representation.form,
        "device": representation.placement.device,
        "precision": representation.used_precision,
        "isolation": representation.missing_isolation,
        "versions": versions(),
    }


def _recalled(
    store: CodeStore, again: NDArray[np.int64]
) -> tuple[CodeTable, NDArray[np.bool_], TokenCodes | None]:
    """A table of the stored codes, the mask (N,) of those that were checked, and what made them.

    Rows that may be encoded again, and whose unreduced codes are gone, are left out.

    Args:
        again: All images (N,) in the order in which they would be encoded again.
    """
    table, checked = CodeTable(len(again)), np.zeros(len(again), dtype=bool)
    kept = store.recall()
    if kept is None:
        return table, checked, None
    usable = np.ones(len(kept.indices), dtype=bool)
    if kept.tokens is not None:
        first = _first_of(again, kept.indices[~kept.checked], _MOST_AGAIN)
        usable = ~np.isin(kept.indices, first[kept.tokens.lacks(first)])
    table.put(kept.indices[usable], kept.codes[usable])
    checked[kept.indices] = kept.checked
    console.print(f"Reused {len(table):,} codes in {store.path}", markup=False)
    return table, checked, kept.tokens


def _changed(
    representation: RunningRepresentation,
    data: NumberedImages,
    rows: NDArray[np.int64],
    codes: NDArray,
    generator: np.random.Generator,
) -> Iterator[KitError]:
    """Encodes images `rows` (n,) again, and yields each difference from `codes` (n, dims)."""
    sizes = [max(1, round(share * representation.batch)) for share in _SIZES_AGAIN]
    sizes = list(generator.choice(sizes, size=1 + len(rows) // min(sizes)))
    batches = _in_batches(representation, data, rows, sizes, "Encoding a sample again")
    again = np.concatenate([part for _, part in batches])
    yield from contract.changes(
        representation, codes, again, lambda position: data.images_at(rows[[position]])[0]
    )


def _in_batches(
    representation: RunningRepresentation,
    data: NumberedImages,
    rows: NDArray[np.int64],
    sizes: list[int],
    doing: str,
) -> Iterator[tuple[NDArray[np.int64], NDArray]]:
    """Yields the rows and codes of each batch; after `sizes`, the last size is repeated."""
    batches = []
    while len(rows):
        batches.append(rows[: sizes[0]])
        rows, sizes = rows[sizes[0] :], sizes[1:] or sizes
    total = sum(map(len, batches))
    with ThreadPoolExecutor(1, "images") as reader, progress(doing, total) as advance:
        pending = [reader.submit(data.images_at, batch) for batch in batches[:1]]
        for number, batch in enumerate(batches, 1):
            images = pending.pop().result()
            # The next batch is read while the worker encodes this one.
            pending += [reader.submit(data.images_at, later) for later in batches[number:][:1]]
            yield batch, representation.encode(images)
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
    """Returns the violations if the rules accept them, and raises the first one if not."""
    tolerated = []
    for violation in violations:
        if not rules.allow_unstable:
            raise violation
        console.print(f"Graded all the same: {violation.problem}", markup=False)
        tolerated.append(violation)
    return tolerated
