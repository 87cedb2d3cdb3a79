"""Tables that grow: what is there already is not computed again, and nothing else is trusted."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from evaluation.common.devices import Placement
from submission.features.tables import table_in_memory, table_on_disk

SHAPE = (1000, 3)
ROWS = np.arange(3000, dtype=np.float32).reshape(SHAPE)


class Computation:
    """Gives the rows, breaking off after some batches, and remembers which it gave."""

    def __init__(self, batches: int = 1000) -> None:
        self.left = batches
        self.given: list[slice] = []

    def __call__(self, batches: Sequence[slice]) -> Iterator[np.ndarray]:
        for batch in batches:
            if self.left == 0:
                raise InterruptedError
            self.left -= 1
            self.given.append(batch)
            yield ROWS[batch]


def table(folder: Path, computation: Computation, batch_size: int = 10, origin: str = "a"):
    path = folder / "one" / "features.npy"
    return table_on_disk(path, {"origin": origin}, SHAPE, batch_size, computation)


def test_a_table_is_computed_once(tmp_path: Path) -> None:
    np.testing.assert_array_equal(table(tmp_path, Computation()), ROWS)
    again = Computation()
    np.testing.assert_array_equal(table(tmp_path, again), ROWS)
    assert again.given == []


def test_what_broke_off_goes_on(tmp_path: Path) -> None:
    first = Computation(40)
    with pytest.raises(InterruptedError):
        table(tmp_path, first)
    assert not (tmp_path / "one" / "features.npy").exists()
    second = Computation()
    np.testing.assert_array_equal(table(tmp_path, second), ROWS)
    # Rows are trusted once they are marked, 16 batches at a time.
    assert len(second.given) == 100 - 32
    assert [path.name for path in (tmp_path / "one").glob(".features*")] == []


def test_another_division_into_batches_begins_anew(tmp_path: Path) -> None:
    with pytest.raises(InterruptedError):
        table(tmp_path, Computation(40))
    second = Computation()
    np.testing.assert_array_equal(table(tmp_path, second, batch_size=7), ROWS)
    assert len(second.given) == 143


def test_a_table_of_another_origin_is_not_used(tmp_path: Path) -> None:
    table(tmp_path, Computation())
    second = Computation()
    table(tmp_path, second, origin="b")
    assert len(second.given) == 100


def test_a_table_whose_record_is_missing_is_not_used(tmp_path: Path) -> None:
    table(tmp_path, Computation())
    (tmp_path / "one" / "features.json").unlink()
    second = Computation()
    table(tmp_path, second)
    assert len(second.given) == 100


def test_a_table_in_memory_holds_the_same() -> None:
    found = table_in_memory(SHAPE, 7, Computation(), Placement("cpu"))
    np.testing.assert_array_equal(found, ROWS)
