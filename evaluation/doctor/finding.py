"""One line of the doctor's table."""

from dataclasses import dataclass
from typing import Literal

State = Literal["good", "absent", "broken"]


@dataclass(frozen=True)
class Finding:
    """What was found of one thing.

    Args:
        area: The heading that it stands under.
        name: The thing.
        found: What this machine has of it.
        state: "absent" is a feature that is not there, "broken" is what the main job needs, or a
            device that is there and cannot be used.
        affects: The features that need it, unless it is good.
        remedy: What to do, as an imperative, unless it is good.
    """

    area: str
    name: str
    found: str
    state: State = "good"
    affects: str = ""
    remedy: str = ""
