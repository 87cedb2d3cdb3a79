"""What is wrong with the files of a dataset, in one line each."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evaluation.common.errors import KitError


class Origin:
    """Where the files of a dataset come from, for the line that says what to do.

    Args:
        dataset: Its name.
        wanted: What its images must be, for people: "uint8 (N, 64, 64, 3)".
    """

    def __init__(self, dataset: str, wanted: str) -> None:
        self._dataset = dataset
        self._wanted = wanted

    def missing(self, root: Path, places: Sequence[str]) -> KitError:
        """None of the places below the root is there."""
        shown = " or ".join(str(root / place) for place in places)
        return KitError(
            "DATA-MISSING",
            f"There is no {shown}",
            f"Run python -m evaluation.data download {self._dataset}, which fetches it or says"
            " where to get it, or point --data-root or DISENTANGLEMENT_LIB_DATA at the folder that"
            f" holds {places[0].split('/', maxsplit=1)[0]}/",
        )

    def _again(self) -> str:
        return f"Remove it, and run python -m evaluation.data download {self._dataset}"

    def damaged(self, path: Path, why: object) -> KitError:
        return KitError(
            "DATA-DAMAGED",
            f"{path} is damaged or incomplete ({why})",
            self._again(),
        )

    def lacks(self, path: Path, held: Sequence[str], key: str) -> KitError:
        shown = ", ".join(held[:8]) + (", …" if len(held) > 8 else "")
        return KitError(
            "DATA-KEY",
            f"{path} holds {shown or 'nothing'}, not '{key}'",
            self._again(),
        )

    def other_array(self, path: Path, what: str, found: str, wanted: str | None = None) -> KitError:
        """An array of another shape or type."""
        return KitError(
            "DATA-SHAPE",
            f"{what} of {path} are {found}; {self._dataset} has {wanted or self._wanted}",
            self._again(),
        )

    def layout(self, path: Path, problem: str) -> KitError:
        """The right kind of array, whose content is not that of the dataset."""
        return KitError(
            "DATA-LAYOUT",
            f"{path} {problem}",
            self._again(),
        )

    @contextmanager
    def reading(self, path: Path, *bad: type[Exception]) -> Iterator[None]:
        """Refuses a file whose reading raises one of `bad`, or an error of the system."""
        try:
            yield
        except KitError:
            raise
        except OSError as error:
            if error.errno is None:  # a library's, about what the file holds
                raise self.damaged(path, error) from error
            raise KitError(
                "DATA-UNREADABLE",
                f"{path} cannot be read ({error.strerror})",
                "Check its permissions and disk",
            ) from error
        except bad as error:
            raise self.damaged(path, error) from error


def first_file(root: Path, places: Sequence[str], origin: Origin) -> Path:
    """The first of the places below the root that is there.

    Raises:
        KitError: none is.
    """
    for place in places:
        if (root / place).exists():
            return root / place
    raise origin.missing(root, places)


def state_of(path: Path) -> dict[str, Any]:
    """What tells, without reading it, that a file is another one, as JSON has it."""
    state = path.stat()
    return {"name": path.name, "bytes": state.st_size, "changed": int(state.st_mtime)}
