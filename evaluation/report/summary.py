"""The parts of a page that show scores: beside what, at which cost, and made from what."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from msgspec import UnsetType

from evaluation.common.files import readable_size
from evaluation.metrics import CHALLENGE, METRICS
from evaluation.representation.limits import Limits
from evaluation.scores import Report, Spread, Tokens

SHORT = {
    "factor_vae_metric": "FactorVAE",
    "dci": "DCI",
    "sap_score": "SAP",
    "mig": "MIG",
    "irs": "IRS",
    "beta_vae": "BetaVAE",
    "modularity_explicitness": "Modularity",
    "infomec": "InfoM",
}
"""The metrics as the field writes them."""


class Card(NamedTuple):
    """One score, with all that it is to be held against.

    Args:
        metric: Its name in `scores.json`.
        short: As the field writes it.
        score: None where there is none.
        baselines: Scores of noise and of an untrained encoder, by name.
        other: The score of the run that is compared with.
        further: Further scores of the metric, by name.
        spread: The metric over several sampling seeds.
    """

    metric: str
    short: str
    score: float | None
    baselines: dict[str, float | None]
    other: float | None
    further: dict[str, float | None]
    spread: Spread | None


def cards(report: Report, compared_with: Report | None) -> list[Card]:
    """One a score, in the order of `scores.json`."""
    spreads: Mapping[str, Spread] = {} if isinstance(report.seeds, UnsetType) else report.seeds
    return [
        Card(
            metric=name,
            short=SHORT[name],
            score=score,
            baselines={title: scores.get(name) for title, scores in report.baselines.items()},
            other=None if compared_with is None else compared_with.scores.get(name),
            further={key: report.details[name][key] for key in METRICS[name].further_keys},
            spread=spreads.get(name),
        )
        for name, score in report.scores.items()
    ]


def best_score(names: Iterable[str]) -> str:
    """What the best score is, in one sentence, for these metrics."""
    if "sap_score" not in names:
        return "The best score is 1."
    return (
        "The best score is 1, but not for SAP: the factors themselves have 0.36 to 0.71 on the "
        "grids of MPI3D, since one line cannot tell a value that lies between two others."
    )


def costs(report: Report, encoded: int) -> list[tuple[str, str]]:
    """Time by phase, speed and memory, as pairs of a name and a text.

    Args:
        encoded: Number of images whose codes are known.
    """
    seconds = report.seconds["encode"]
    rows = [("Encoding", f"{seconds:.1f} s" if seconds else "none: the codes were there")]
    if seconds:
        rows.append(("Images a second", f"{encoded / seconds:,.0f}, of {encoded:,} images"))
    rows += [(SHORT[name], f"{report.seconds[name]:.1f} s") for name in report.scores]
    if not isinstance(report.recheck, UnsetType):
        again = report.recheck
        rows.append(("Encoding a sample again", f"{again.seconds:.1f} s, {again.rows:,} images"))
    if not isinstance(report.used, UnsetType):
        used = report.used
        rows += [
            ("Memory of the representation", readable_size(used.memory_bytes)),
            ("Processors' time of the representation", f"{used.cpu_seconds:.1f} s"),
        ]
    return rows


def origins(report: Report) -> list[tuple[str, str]]:
    """What the scores were made from, as pairs of a name and a text."""
    about, made_from = report.representation, report.made_from
    rows = [
        ("Representation", about.path),
        ("Its kind", f"{about.kind}, {about.dim} codes"),
        ("Its SHA-256", about.sha256),
        ("Dataset", f"{report.dataset} ({shape_of(report)})"),
        ("Its fingerprint", made_from.data),
        ("Metrics by", report.engine),
        ("Sampling seed", str(report.seed)),
        ("Code of the grader", made_from.grader),
        ("Versions", ", ".join(f"{name} {version}" for name, version in report.versions.items())),
    ]
    if not isinstance(report.tokens, UnsetType):
        rows.append(("Tokens", _tokens(report.tokens)))
    if not isinstance(report.isolation, UnsetType):
        whole = report.isolation.complete
        rows.append(("Sandbox", "whole" if whole else "; ".join(report.isolation.missing)))
    if not isinstance(report.violations, UnsetType):
        rows += [("Graded all the same", one.problem) for one in report.violations]
    return rows


def shape_of(report: Report) -> str:
    """The data's size in words: that of its grid, or its rows and what each factor is."""
    own = report.own_data
    if isinstance(own, UnsetType) or own.full_grid:
        return " x ".join(map(str, report.factor_sizes))
    kinds = ", ".join(f"{kind} {name}" for name, kind in own.factors.items())
    return f"{own.rows:,} rows, no full grid; {kinds}"


def missing_metrics(report: Report) -> list[str]:
    """A sentence for each metric that cannot be had of the rows."""
    if isinstance(report.own_data, UnsetType):
        return []
    return [
        f"{SHORT[name]} is left out: {reason}." for name, reason in report.own_data.left_out.items()
    ]


def _tokens(tokens: Tokens) -> str:
    return (
        f"{tokens.number} of {tokens.width} numbers, each made one by its first principal"
        f" component over {tokens.rows:,} rows, which has"
        f" {min(tokens.shares):.0%} to {max(tokens.shares):.0%} of the token's variance"
    )


def command_of(report: Report) -> str:
    """The command that grades the same again."""
    about, protocol = report.representation, report.made_from.protocol
    words = ["python", "-m", "evaluation"]
    words += ["--codes" if about.kind == "codes" else "--representation", about.path]
    own = report.own_data
    words += ["--dataset", report.dataset] if isinstance(own, UnsetType) else own.flags
    if list(protocol["metrics"]) != [metric.name for metric in CHALLENGE]:
        words += ["--metrics", ",".join(protocol["metrics"])]
    defaults: dict[str, Any] = {
        "seed": 0,
        "seeds": 1,
        "engine": "fast",
        "precision": "float32",
        **{f"max_{name}": value for name, value in asdict(Limits()).items()},
    }
    given = protocol | {f"max_{name}": value for name, value in protocol["limits"].items()}
    for name, default in defaults.items():
        if given[name] != default:
            words += [f"--{name.replace('_', '-')}", str(given[name])]
    words += [f"--{name.replace('_', '-')}" for name in _SWITCHES if protocol[name]]
    if protocol["allowed_kinds"]:
        words += ["--allow-kinds", ",".join(protocol["allowed_kinds"])]
    return shlex.join(words)


_SWITCHES = ("verify", "allow_unstable", "strict")
