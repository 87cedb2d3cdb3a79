"""What a worker is told to do."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.common.devices import Placement
from evaluation.common.images import ImageFormat


@dataclass(frozen=True)
class Order:
    """What a worker is to run, and how.

    Args:
        path: The file or folder to load; it must not change while the worker lives.
        kind: "torchscript", "dill" or "savedmodel".
        work: An empty folder, the only one that the representation may write to.
        shown: What the user calls the representation, for errors.
        placement: Where it is to run, and in what precision.
        batch: Most images a request.
        images: Their format.
    """

    path: Path
    kind: str
    work: Path
    shown: str
    placement: Placement
    batch: int
    images: ImageFormat

    def instructions(self) -> dict[str, Any]:
        """The part of it that the worker itself needs, as JSON takes it."""
        return {
            "path": str(self.path),
            "kind": self.kind,
            "work": str(self.work),
            "device": self.placement.device,
            "precision": self.placement.precision,
            "format": self.images,
        }
