"""Everything that is wrong with a submission, found at once, each with a code and a remedy.

`files` looks at the text files that AIcrowd reads, `encoder` at what was trained, and `repository`
at what a push would send. Each offers `problems(...)`, which yields what a user has to correct.
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
    """What a check has found, and what the representation costs on each device it ran on."""

    problems: list[KitError]
    costs: list["Cost"]

    @property
    def status(self) -> int:
        """Exit status of a command that reports this."""
        return 1 if self.problems else 0

    def as_json(self) -> dict[str, Any]:
        return {
            "problems": [
                {"code": problem.code, "problem": problem.problem, "remedy": problem.remedy}
                for problem in self.problems
            ],
            "costs": [asdict(cost) for cost in self.costs],
        }

    def show(self) -> None:
        for problem in self.problems:
            console.print(str(problem), markup=False)
        for cost in self.costs:
            console.print(f"The encoder on {cost}.", markup=False)
        found = len(self.problems)
        console.print("Ready to submit." if not found else f"{found} to correct before submitting.")


def check(root: Path, tag: str, remote: str) -> Report:
    """Looks at everything in `root` that pushing it to `remote` as `tag` would bring to AIcrowd."""
    from submission.delivery.checks import encoder, files, repository
    from submission.delivery.git import has_remote

    costs: list[Cost] = []
    problems = [
        *files.problems(root, to_submit=has_remote(root, remote)),
        *repository.problems(root, tag, remote),
        *encoder.problems(root, costs),
    ]
    return Report(problems, costs)
