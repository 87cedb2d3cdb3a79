"""The grader survives what it must refuse: one line, one code, nothing lost, nobody left behind."""

import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from evaluation import __main__ as command
from evaluation.common.errors import KitError, run_command
from evaluation.data.ground_truth import ImageGrid
from evaluation.representation.limits import Limits
from evaluation.representation.reading import digest_of
from tests.evaluation.representation.bad_submissions import BAD

Grade = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An experiment with an empty `representation/` and the scores of an earlier one."""
    # Workers stage beneath this test's own folder, so that they can be told from other tests'.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "experiment" / "representation").mkdir(parents=True)
    (tmp_path / "experiment" / "scores.json").write_text("earlier")
    return tmp_path / "experiment"


@pytest.fixture
def grade(
    mini: ImageGrid, data_root: Path, experiment: Path, capsys: pytest.CaptureFixture[str]
) -> Grade:
    def run(flags: Sequence[str] = ()) -> tuple[int, list[str]]:
        """Exit status, and the lines on standard error."""
        argv = ["--representation", str(experiment), "--output", str(experiment), *flags]
        argv += ["--dataset", mini.name, "--data-root", str(data_root), "--metrics", "mig"]
        argv += ["--device", "cpu", "--no-page"]
        with pytest.raises(SystemExit) as end:
            run_command(lambda _: command.main(argv))
        return int(end.value.code or 0), capsys.readouterr().err.splitlines()

    return run


def processes_under(folder: Path) -> list[bytes]:
    """Command lines of the processes that were started to work beneath `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.fsencode(folder) in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_bytes())
        except OSError:
            continue
    return found


@pytest.mark.parametrize("name", BAD)
def test_refused(name: str, grade: Grade, experiment: Path) -> None:
    bad = BAD[name]
    bad.build(experiment / "representation")
    before = sorted(experiment.rglob("*"))

    status, lines = grade(bad.flags)

    assert status == 2
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"error[{bad.code}]: "), lines[0]
    assert str(experiment) in lines[0]
    assert lines[0].isprintable()
    assert processes_under(experiment.parent) == []
    assert sorted(experiment.rglob("*")) == before
    assert (experiment / "scores.json").read_text() == "earlier"
    assert not (experiment.parent / "written").exists()
    assert list(experiment.parent.glob("representation-*")) == []


def test_a_file_that_changes_while_it_is_read(grade: Grade, experiment: Path) -> None:
    file = experiment / "representation" / "python_model.dill"
    file.write_bytes(bytes(64 << 20))
    done = threading.Event()

    def rewrite() -> None:
        number = 0
        with file.open("r+b") as stream:
            while not done.is_set():
                number += 1
                stream.seek(number % 64 << 20)
                stream.write(number.to_bytes(8, "little"))
                stream.flush()

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        status, lines = grade()
    finally:
        done.set()
        writer.join()
    assert status == 2
    assert lines[0].startswith("error[REPRESENTATION-CHANGED]: ")


def test_a_file_that_may_not_be_read() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        file = Path(folder) / "python_model.dill"
        file.write_bytes(b"secret")
        file.chmod(0)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)  # permissions mean nothing to root, so nobody reads
        try:
            with pytest.raises(KitError) as refused:
                digest_of(file, Limits())
        finally:
            os.seteuid(user)
    assert refused.value.code == "REPRESENTATION-UNREADABLE"
