"""The curves of a training, one row an epoch: stats.csv, and TensorBoard."""

import csv
import io
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
    """Yields a function to call whenever `rows` has got one more row, the losses of an epoch.

    `rows` holds those of earlier runs already; what an interrupted run wrote beyond them goes, and
    what is missing of them is written again. Of several processes only the first records.
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
    """Writes the curves of `rows` again where the files do not hold them."""
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
    """The values in TensorBoard's files by epoch and name, as far as each file can be read."""
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
    """Spares an import of ten seconds for a few file operations.

    TensorBoard imports all of TensorFlow where it is installed, unless a module of this name
    exists: its own way to ask for a stand-in.
    """
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))


def _write_csv(path: Path, rows: Sequence[Row]) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(_csv_of(rows), encoding="utf-8", newline="")


def _csv_of(rows: Sequence[Row]) -> str:
    """Semicolons between columns, `epochs` counted from 0, the others by name: the original's."""
    names = sorted(rows[0])
    text = io.StringIO()
    lines = csv.writer(text, delimiter=";", lineterminator="\n")
    lines.writerow(["epochs", *names])
    lines.writerows([epoch, *(row[name] for name in names)] for epoch, row in enumerate(rows))
    return text.getvalue()
