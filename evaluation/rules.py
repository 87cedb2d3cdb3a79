"""How to grade: what the command's flags say, as one value."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from evaluation.common.devices import Placement
from evaluation.representation.limits import Limits

FAST = "fast"
REFERENCE = "disentanglement_lib"

RUNS_ANYTHING = ("dill", "savedmodel")
"""Kinds that are programs: `strict` refuses them, unless they are allowed by name."""


@dataclass(frozen=True)
class Rules:
    """How to grade.

    Args:
        metrics: Names in `metrics.METRICS`.
        implementation: Whose metrics, FAST or REFERENCE.
        verify: Whether to run the other implementation too.
        seed: First sampling seed; the challenge's is 0.
        seeds: How many seeds, one after another.
        placement: Where a representation runs.
        allow_unstable: Whether to grade a representation whose codes vary.
        strict: Whether to refuse where a layer of the sandbox is missing, and RUNS_ANYTHING.
        allowed_kinds: Those of RUNS_ANYTHING that `strict` does not refuse.
        limits: What a representation may use.
    """

    metrics: tuple[str, ...]
    implementation: str = FAST
    verify: bool = False
    seed: int = 0
    seeds: int = 1
    placement: Placement = field(default_factory=Placement)
    allow_unstable: bool = False
    strict: bool = False
    allowed_kinds: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)

    @property
    def all_seeds(self) -> range:
        return range(self.seed, self.seed + self.seeds)

    def without(self, left_out: Collection[str]) -> "Rules":
        """The same, but for the metrics that are left out."""
        return replace(self, metrics=tuple(name for name in self.metrics if name not in left_out))

    @property
    def as_written(self) -> dict[str, Any]:
        """As `scores.json` has them."""
        written = asdict(self)
        return {
            **{name: written[name] for name in ("metrics", "verify", "seed", "seeds", "limits")},
            **written["placement"],
            "engine": self.implementation,
            "allow_unstable": self.allow_unstable,
            "strict": self.strict,
            "allowed_kinds": sorted(self.allowed_kinds),
        }
