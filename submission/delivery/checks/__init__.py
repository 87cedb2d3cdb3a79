"""Finds all problems of a submission at once, each with a code and a remedy.

`files` checks the text files that AIcrowd reads, `encoder` the bundled representation, and
`repository` what a push would send. Each has a function `problems`, which yields the problems.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.common.errors import KitError
from evaluation.common.terminal import console

if TYPE_CHECKING:
    from submission.delivery.checks.encoder import Cost


@dataclass(frozen=True)
class Report:
    """The result of a check.

    Args:
        problems: What the user must correct.
        costs: What the representation costs on each device on which it ran.
    """

    problems: list[KitError]
    costs: list["Cost"]

    @property
    def status(self) -> int:
        """The exit status of a command: 1 if there are problems."""
        return 1 if self.problems else 0

    def as_json(self) -> dict[str, Any]:
        """The report as JSON, with the keys `problems` and `costs`."""
        return {
            "problems": [
                {"code": problem.code, "problem": problem.problem, "remedy": problem.remedy}
                for problem in self.problems
            ],
            "costs": [asdict(cost) for cost in self.costs],
        }

    def show(self) -> None:
        """Prints the report, a line for each problem and each cost."""
        for problem in self.problems:
            console.print(str(problem), markup=False)
        for cost in self.costs:
            console.print(f"The encoder on {cost}.", markup=False)
        found = len(self.problems)
        console.print("Ready to submit." if not found else f"Problems to correct: {found}.")


def check(root: Path, tag: str, remote: str) -> Report:
    """Checks all that a push of `root` to `remote`, as `tag`, would send to AIcrowd."""
    from submission.delivery.checks import encoder, files, repository
    from submission.delivery.git import has_remote

    costs: list[Cost] = []
    problems = [
        *files.problems(root, to_submit=has_remote(root, remote)),
        *repository.problems(root, tag, remote),
        *encoder.problems(root, costs),
    ]
    return Report(problems, costs)
