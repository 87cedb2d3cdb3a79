"""The curves of a training, one row for each epoch: stats.csv, and TensorBoard."""

import csv
import io
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from evaluation.common.files import whole_file
from evaluation.common.terminal import console
from submission.runtime import distributed

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

Row = Mapping[str, float]

_EVENTS = "events.out.tfevents.*"


@contextmanager
def recording(folder: Path, rows: Sequence[Row]) -> Iterator[Callable[[], None]]:
    """Yields a function that writes the last row of `rows`. Call it after each new row.

    First the files are brought in line with `rows`: what an interrupted run wrote after these rows
    is removed, and missing rows are written. With several processes, only the first one writes.

    Args:
        folder: Gets stats.csv and tensorboard/.
        rows: Name -> loss for each epoch; it holds the epochs of earlier runs already.
    """
    if not distributed.is_main():
        yield lambda: None
        return
    restore(folder, rows)
    writer = _summary_writer(folder, purge_step=len(rows))

    def record() -> None:
        _add(writer, rows, len(rows) - 1)
        writer.flush()
        _write_csv(folder / "stats.csv", rows)

    try:
        yield record
    finally:
        writer.close()


def restore(folder: Path, rows: Sequence[Row]) -> None:
    """Writes the curves of `rows` again if the files do not hold them."""
    if not rows or not distributed.is_main():
        return
    path = folder / "stats.csv"
    if not path.exists() or path.read_bytes() != _csv_of(rows).encode():
        _write_csv(path, rows)
    expected = {
        (epoch, name): np.float32(value)
        for epoch, row in enumerate(rows)
        for name, value in row.items()
    }
    shown = _shown(folder)
    if all(shown.get(place) == value for place, value in expected.items()):
        return
    console.print(f"The curves in {folder / 'tensorboard'} are damaged: writing them again")
    for events in (folder / "tensorboard").glob(_EVENTS):
        events.unlink()
    writer = _summary_writer(folder)
    for epoch in range(len(rows)):
        _add(writer, rows, epoch)
    writer.close()


def _summary_writer(folder: Path, purge_step: int | None = None) -> "SummaryWriter":
    _without_tensorflow()
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"), purge_step=purge_step)


def _add(writer: "SummaryWriter", rows: Sequence[Row], epoch: int) -> None:
    for name, value in rows[epoch].items():
        writer.add_scalar(name, value, epoch)


def _shown(folder: Path) -> dict[tuple[int, str], np.float32]:
    """(epoch, name) -> value in TensorBoard's files; a damaged file is read up to its damage."""
    _without_tensorflow()
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.tensorflow_stub import errors
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New

    shown = {}
    for path in sorted((folder / "tensorboard").glob(_EVENTS)):
        reader = PyRecordReader_New(str(path))
        try:
            while True:
                reader.GetNext()
                event = Event.FromString(reader.record())
                for value in event.summary.value:
                    shown[event.step, value.tag] = np.float32(value.simple_value)
        except (errors.OutOfRangeError, errors.DataLossError):
            continue
    return shown


def _without_tensorflow() -> None:
    """Stops TensorBoard from importing TensorFlow, which takes ten seconds.

    TensorBoard looks for a module of this name. If it exists, TensorBoard uses its own small
    substitute for TensorFlow.
    """
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))


def _write_csv(path: Path, rows: Sequence[Row]) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(_csv_of(rows), encoding="utf-8", newline="")


def _csv_of(rows: Sequence[Row]) -> str:
    """The text of stats.csv in the original's format.

    The columns are `epochs`, counted from 0, and the losses, sorted by name. The separator is ";".
    What an epoch has no value of is nan: a version of the kit that knew less may have begun.
    """
    names = sorted({name for row in rows for name in row})
    text = io.StringIO()
    lines = csv.writer(text, delimiter=";", lineterminator="\n")
    lines.writerow(["epochs", *names])
    lines.writerows(
        [epoch, *(row.get(name, math.nan) for name in names)] for epoch, row in enumerate(rows)
    )
    return text.getvalue()
