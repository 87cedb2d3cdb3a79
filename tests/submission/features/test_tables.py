"""Tables that grow: what is there already is not computed again, and nothing else is trusted."""

import os
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
    assert len(second.given) == 100 - 40
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


def folder_of(tmp_path: Path) -> Path:
    """The folder of a table that is whole."""
    table(tmp_path, Computation())
    return tmp_path / "one"


def flip(path: Path, place: int, count: int = 4) -> None:
    content = bytearray(path.read_bytes())
    for number in range(place, place + count):
        content[number] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("place", "again"),
    [
        (128 + 12 * 455, [slice(450, 460)]),  # in a row
        (128 + 12 * 500 - 2, [slice(490, 500), slice(500, 510)]),  # across two batches
        (20, []),  # in the header
    ],
)
def test_flipped_bytes_are_found_and_only_their_batches_computed(
    tmp_path: Path, place: int, again: list[slice], capsys: pytest.CaptureFixture[str]
) -> None:
    flip(folder_of(tmp_path) / "features.npy", place)
    capsys.readouterr()
    second = Computation()
    np.testing.assert_array_equal(table(tmp_path, second), ROWS)
    assert second.given == again
    output = capsys.readouterr().out
    assert output.count("\n") == 1
    assert f"does not match its digests: extracting {len(again)} of its 100 batches" in output
    third = Computation()
    table(tmp_path, third)
    assert third.given == [] and "Reusing" in capsys.readouterr().out


@pytest.mark.parametrize(("size", "again"), [(128 + 12 * 605, 40), (100, 100), (0, 100)])
def test_a_table_cut_short_is_completed(tmp_path: Path, size: int, again: int) -> None:
    path = folder_of(tmp_path) / "features.npy"
    whole = path.read_bytes()
    os.truncate(path, size)
    second = Computation()
    np.testing.assert_array_equal(table(tmp_path, second), ROWS)
    assert len(second.given) == again and path.read_bytes() == whole


def test_a_table_that_grew_is_cut(tmp_path: Path) -> None:
    path = folder_of(tmp_path) / "features.npy"
    whole = path.read_bytes()
    path.write_bytes(whole + b"more")
    second = Computation()
    table(tmp_path, second)
    assert second.given == [] and path.read_bytes() == whole


@pytest.mark.parametrize("text", [None, "{", '{"origin": "b"}'])
def test_a_record_that_is_damaged_is_written_again(tmp_path: Path, text: str | None) -> None:
    record = folder_of(tmp_path) / "features.json"
    whole = record.read_bytes()
    record.unlink()
    if text is not None:
        record.write_text(text)
    second = Computation()
    table(tmp_path, second)
    assert second.given == [] and record.read_bytes() == whole


@pytest.mark.parametrize("damage", ["absent", "empty", "cut", "zeroed", "flipped"])
def test_digests_that_are_damaged_vouch_for_nothing(tmp_path: Path, damage: str) -> None:
    path = folder_of(tmp_path) / "features.digests"
    whole = path.read_bytes()
    if damage == "absent":
        path.unlink()
    elif damage == "flipped":
        flip(path, 8 + 32 * 7)
    elif damage == "zeroed":
        path.write_bytes(bytes(len(whole)))
    else:
        os.truncate(path, 0 if damage == "empty" else 500)
    second = Computation()
    np.testing.assert_array_equal(table(tmp_path, second), ROWS)
    assert len(second.given) == (1 if damage == "flipped" else 100)
    assert path.read_bytes() == whole


def test_a_partial_table_that_was_damaged_loses_those_batches_only(tmp_path: Path) -> None:
    with pytest.raises(InterruptedError):
        table(tmp_path, Computation(40))
    flip(tmp_path / "one" / ".features.partial.npy", 128 + 12 * 155)
    second = Computation()
    np.testing.assert_array_equal(table(tmp_path, second), ROWS)
    assert len(second.given) == 61


def test_a_whole_table_serves_a_device_with_other_batches(tmp_path: Path) -> None:
    folder_of(tmp_path)
    second = Computation()
    np.testing.assert_array_equal(table(tmp_path, second, batch_size=7), ROWS)
    assert second.given == []


def test_a_table_in_memory_holds_the_same() -> None:
    found = table_in_memory(SHAPE, 7, Computation(), Placement("cpu"))
    np.testing.assert_array_equal(found, ROWS)
