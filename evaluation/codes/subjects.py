"""What is graded, in two kinds: a representation that gives codes, or a table of codes."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from evaluation.codes.encoding import Codes, Run, encode
from evaluation.codes.store import digest_of_codes, kept_codes, read_codes
from evaluation.codes.table import CodeTable, Draws, Filled, nothing
from evaluation.common.errors import KitError
from evaluation.data.factor_table import Gradable
from evaluation.metrics.tables.tokens import one_number_a_token
from evaluation.representation.finding import Found
from evaluation.representation.reading import digest_of
from evaluation.rules import RUNS_ANYTHING, Rules
from evaluation.scores import Isolation, Rechecked, Used, Violation

Content = tuple[NDArray[np.int64], NDArray]


class Subject(Protocol):
    """What is graded: it knows its hash, and how its codes come."""

    @property
    def found(self) -> Found: ...

    @property
    def sha256(self) -> str: ...

    def codes_of(
        self,
        data: Gradable,
        draws: Draws,
        store: Path,
        recheck: bool = True,
        filled: Filled = nothing,
    ) -> Codes:
        """The codes of all images that `draws` will ask for.

        Args:
            store: The file that keeps codes which took time, for a later run.
            recheck: Whether a sample is encoded again; see `codes.encoding`.
            filled: Called with the table before that.

        Raises:
            KitError: there are none that can be graded.
        """

    def known_codes(self, data: Gradable, store: Path) -> Content | None:
        """Numbers (n,) of images and their codes (n, d) that need no encoding, if there are any."""


@dataclass(frozen=True)
class Given:
    """A table of codes that the user made."""

    found: Found
    sha256: str
    rules: Rules

    def codes_of(
        self,
        data: Gradable,
        draws: Draws,  # noqa: ARG002
        store: Path,  # noqa: ARG002
        recheck: bool = True,  # noqa: ARG002
        filled: Filled = nothing,  # noqa: ARG002
    ) -> Codes:
        return self._codes(data)

    def known_codes(self, data: Gradable, store: Path) -> Content | None:  # noqa: ARG002
        return self._codes(data).table.content

    def _codes(self, data: Gradable) -> Codes:
        codes = read_codes(self.found.path, data, self.rules.limits.dims)
        codes, components = one_number_a_token(codes, self.rules.seed)
        return Codes(CodeTable.given(codes), components=components)


@dataclass(frozen=True)
class Encoder:
    """A representation that a participant handed in."""

    found: Found
    sha256: str
    rules: Rules

    def codes_of(
        self,
        data: Gradable,
        draws: Draws,
        store: Path,
        recheck: bool = True,
        filled: Filled = nothing,
    ) -> Codes:
        return encode(self.found, self.sha256, self.rules, data, draws, store, recheck, filled)

    def known_codes(self, data: Gradable, store: Path) -> Content | None:
        return kept_codes(store, self.sha256, data.fingerprint)


def open_subject(found: Found, rules: Rules) -> Subject:
    """What was found, ready to be graded.

    Raises:
        KitError: it cannot be read, or the rules refuse its kind.
    """
    if found.kind == "codes":
        return Given(found, digest_of_codes(found.path, rules.limits.dims), rules)
    if rules.strict and found.kind in RUNS_ANYTHING and found.kind not in rules.allowed_kinds:
        raise KitError(
            "STRICT-KIND",
            f"{found.path} is a {found.kind}, which may hold any program, and --strict allows "
            f"{', '.join(('torchscript', *rules.allowed_kinds))}",
            f"Hand in TorchScript, or grade it with --allow-kinds {found.kind}",
        )
    return Encoder(found, digest_of(found.path, rules.limits), rules)


def behaviour_of(run: Run) -> dict[str, Any]:
    """The fields of a report that say how a representation behaved."""
    parts: dict[str, Any] = {
        "isolation": Isolation(complete=not run.missing, missing=run.missing),
        "used": Used(**asdict(run.used)),
        "violations": [Violation(code=one.code, problem=one.problem) for one in run.violations],
    }
    if run.recheck is not None:
        parts["recheck"] = Rechecked(
            rows=run.recheck.rows,
            seconds=run.recheck.seconds,
            used=Used(**asdict(run.recheck.used)),
        )
    return parts
