"""The errors about a dataset's files, each in one line."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evaluation.common.errors import KitError


class Origin:
    """Makes the errors about a dataset's files.

    Args:
        dataset: Its name.
        wanted: What its images must be, in words: "uint8 (N, 64, 64, 3)".
    """

    def __init__(self, dataset: str, wanted: str) -> None:
        self._dataset = dataset
        self._wanted = wanted

    def missing(self, root: Path, places: Sequence[str]) -> KitError:
        """None of the files exists. `places` are their paths, relative to the data root."""
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
        """A file whose content cannot be read."""
        return KitError(
            "DATA-DAMAGED",
            f"{path} is damaged or incomplete ({why})",
            self._again(),
        )

    def lacks(self, path: Path, keys: Sequence[str], key: str) -> KitError:
        """A file with the arrays `keys`, but without the array `key`."""
        shown = ", ".join(keys[:8]) + (", …" if len(keys) > 8 else "")
        return KitError(
            "DATA-KEY",
            f"{path} holds {shown or 'nothing'}, not '{key}'",
            self._again(),
        )

    def other_array(self, path: Path, what: str, found: str, wanted: str | None = None) -> KitError:
        """An array with a wrong shape or type."""
        return KitError(
            "DATA-SHAPE",
            f"{what} of {path} are {found}; {self._dataset} has {wanted or self._wanted}",
            self._again(),
        )

    def layout(self, path: Path, problem: str) -> KitError:
        """An array with the right type but wrong content."""
        return KitError(
            "DATA-LAYOUT",
            f"{path} {problem}",
            self._again(),
        )

    @contextmanager
    def reading(self, path: Path, *bad: type[Exception]) -> Iterator[None]:
        """Turns errors within the block into `KitError`s.

        Args:
            path: The file that is read.
            bad: Exceptions that mean that the file is damaged.

        Raises:
            KitError: `DATA-DAMAGED`, for one of `bad`; `DATA-UNREADABLE`, for an error of the
                operating system.
        """
        try:
            yield
        except KitError:
            raise
        except OSError as error:
            if error.errno is None:  # raised by a library, about the content of the file
                raise self.damaged(path, error) from error
            raise KitError(
                "DATA-UNREADABLE",
                f"{path} cannot be read ({error.strerror})",
                "Check its permissions and disk",
            ) from error
        except bad as error:
            raise self.damaged(path, error) from error


def first_file(root: Path, places: Sequence[str], origin: Origin) -> Path:
    """The path of the first of `places` that exists below the data root.

    Raises:
        KitError: `DATA-MISSING`, none exists.
    """
    for place in places:
        if (root / place).exists():
            return root / place
    raise origin.missing(root, places)


def state_of(path: Path) -> dict[str, Any]:
    """Facts that show, without reading the file, whether it changed; as JSON."""
    state = path.stat()
    return {"name": path.name, "bytes": state.st_size, "changed": int(state.st_mtime)}
