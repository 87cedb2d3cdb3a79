"""Downloads from a server that cuts, lies, is busy, and gives what it should not."""

import dataclasses
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path

import numpy as np
import pytest

from evaluation.common.errors import BAD_INPUT, KitError
from evaluation.data import DATASETS
from evaluation.data.__main__ import main
from evaluation.data.dataset import HubFile, WebFile
from evaluation.data.download import fetching, web
from tests.evaluation.data.download.bad_server import COMMIT, Server, serving
from tests.small_sets import SPRITES, cut_all, write_cars3d, write_dsprites

NAME = "dsprites_full"
PATH = DATASETS[NAME].files[0].path


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cut_all(monkeypatch)
    monkeypatch.setattr(web, "TRIES", 3)
    monkeypatch.setattr(web, "_SLACK", 1000)
    monkeypatch.setenv("AICROWD_OUTPUT_PATH", str(tmp_path / "outputs"))


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    return write_dsprites(tmp_path / "published").read_bytes()


@pytest.fixture
def server(content: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with serving({"/file": content}) as server:
        publish(server, content, monkeypatch)
        yield server


def publish(
    server: Server, content: bytes, patch: pytest.MonkeyPatch, name: str = NAME, digest: bool = True
) -> None:
    """Puts an entry into the registry whose file this server has."""
    sha256 = f"sha256:{hashlib.sha256(content).hexdigest()}"
    file = WebFile(
        DATASETS[name].files[0].path, f"{server.url}/file", len(content), sha256 if digest else None
    )
    patch.setitem(DATASETS, name, dataclasses.replace(DATASETS[name], files=(file,)))


def download(root: Path, name: str = NAME) -> int:
    return main(["download", name, "--data-root", str(root)])


def refused(root: Path, code: str, capsys: pytest.CaptureFixture[str], name: str = NAME) -> str:
    assert download(root, name) == BAD_INPUT
    line = capsys.readouterr().err
    assert line.startswith(f"error[{code}]: ")
    assert line.count("\n") == 1
    assert not (root / DATASETS[name].files[0].path).exists()
    return line


def test_a_file_is_fetched_checked_and_opened(
    server: Server, content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert download(tmp_path / "data") == 0
    assert (tmp_path / "data" / PATH).read_bytes() == content
    assert f"{np.prod(SPRITES)} images are ready" in capsys.readouterr().out
    assert download(tmp_path / "data") == 0
    assert "are here already" in capsys.readouterr().out
    assert len(server.requests) == 1


def kept_of(content: bytes) -> int:
    """Bytes that are kept of a file cut in the middle: whole blocks."""
    return len(content) // 2 // web.BLOCK * web.BLOCK


def test_a_cut_line_is_taken_up_where_it_was(
    server: Server, content: bytes, tmp_path: Path
) -> None:
    server.cuts = 3
    assert download(tmp_path) == 0
    assert (tmp_path / PATH).read_bytes() == content
    starts = [asked for _, _, asked in server.requests]
    assert starts[:2] == [None, f"bytes={kept_of(content)}-"]
    assert len(starts) == 4


def test_what_a_killed_process_left_is_gone_on_with(
    server: Server, content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.cuts = 99
    server.ranges = False  # each try begins anew, and brings nothing more
    refused(tmp_path, "DOWNLOAD-LOST", capsys)
    server.cuts, server.ranges = 0, True
    assert download(tmp_path) == 0
    assert server.requests[-1][2] == f"bytes={kept_of(content)}-"
    assert (tmp_path / PATH).read_bytes() == content


def test_a_server_without_ranges_is_asked_for_all_of_it_again(
    server: Server, content: bytes, tmp_path: Path
) -> None:
    server.ranges, server.cuts = False, 1
    assert download(tmp_path) == 0
    assert (tmp_path / PATH).read_bytes() == content


def test_a_part_of_an_older_version_is_not_gone_on_with(
    server: Server, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["/file"], server.cuts = bytes(len(content)), 1
    part = tmp_path / ".download" / Path(PATH).name / "part"

    def publish_anew(_: float) -> None:
        assert part.read_bytes() == bytes(kept_of(content))
        server.files["/file"] = content

    monkeypatch.setattr(web.time, "sleep", publish_anew)
    assert download(tmp_path) == 0
    assert (tmp_path / PATH).read_bytes() == content


@pytest.mark.usefixtures("server")
def test_a_part_that_is_longer_than_the_file_is_begun_anew(content: bytes, tmp_path: Path) -> None:
    folder = tmp_path / ".download" / Path(PATH).name
    folder.mkdir(parents=True)
    (folder / "part").write_bytes(content + b"more")
    (folder / "part").with_suffix(".tag").write_text(f'"{hashlib.sha256(content).hexdigest()}"')
    assert download(tmp_path) == 0
    assert (tmp_path / PATH).read_bytes() == content


@pytest.mark.parametrize("declared", ["more", "less"])
def test_a_lie_about_the_length_is_noticed(
    server: Server,
    content: bytes,
    declared: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.declared = len(content) + 100 if declared == "more" else len(content) - 100
    server.ranges = False
    code = "DOWNLOAD-LOST" if declared == "more" else "DOWNLOAD-DIGEST"
    refused(tmp_path, code, capsys)


def test_more_than_the_file_can_have_is_not_written(
    server: Server, content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["/file"] = bytes(3 * len(content))
    refused(tmp_path, "DOWNLOAD-SIZE", capsys)
    server.declared = len(content)  # it says so, and sends more
    refused(tmp_path, "DOWNLOAD-DIGEST", capsys)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("how", ["seconds", "date", "nothing"])
def test_a_busy_server_is_waited_for(
    server: Server, status: int, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(web.time, "sleep", waited.append)
    soon = format_datetime(datetime.now(timezone.utc) + timedelta(seconds=9), usegmt=True)
    server.busy = [(status, {"seconds": "7", "date": soon, "nothing": None}[how])]
    assert download(tmp_path) == 0
    assert len(waited) == 1
    expected = {"seconds": (7, 7), "date": (5, 9), "nothing": (1, 1)}[how]
    assert expected[0] <= waited[0] <= expected[1]


def test_a_server_that_stays_busy_is_given_up(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(web.time, "sleep", lambda _: None)
    server.busy = [(429, "1")] * 9
    assert "asks for a pause" in refused(tmp_path, "DOWNLOAD-LOST", capsys)
    server.busy = [(503, "86400")]
    assert "86400 s" in refused(tmp_path, "DOWNLOAD-LOST", capsys)


def test_a_web_page_with_status_200_is_no_file(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["/file"], server.kind = b"<html>Sign in</html>", "text/html; charset=utf-8"
    assert "web page" in refused(tmp_path, "DOWNLOAD-REFUSED", capsys)
    server.kind = "application/octet-stream"
    refused(tmp_path, "DOWNLOAD-DIGEST", capsys)


def test_a_file_that_is_gone_is_said_to_be(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files.clear()
    assert "404" in refused(tmp_path, "DOWNLOAD-REFUSED", capsys)


@pytest.mark.usefixtures("server")
def test_a_server_that_is_not_there_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(web.time, "sleep", lambda _: None)
    file = DATASETS[NAME].files[0]._replace(url="http://127.0.0.1:9/file")
    changed = dataclasses.replace(DATASETS[NAME], files=(file,))
    monkeypatch.setitem(DATASETS, NAME, changed)
    refused(tmp_path, "DOWNLOAD-LOST", capsys)


def test_a_full_disk_is_known_before_anything_is_fetched(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(fetching, "free_bytes", lambda _: 10)
    assert "has 10 B free" in refused(tmp_path, "DATA-DISK-FULL", capsys)
    assert server.requests == []


def bombed(_: bytes) -> bytes:
    """An archive whose array unpacks to two gigabytes of zeros."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("imgs.npy", "w", force_zip64=True) as entry,
    ):
        entry.write(np.lib.format.magic(1, 0))
        for _part in range(64):
            entry.write(bytes(1 << 25))
    return stream.getvalue()


CORRUPT: dict[str, Callable[[bytes], bytes]] = {
    "flipped": lambda content: (
        content[: len(content) // 2] + bytes(99) + content[len(content) // 2 + 99 :]
    ),
    "short": lambda content: content[:-100],
    "page": lambda _: b"<html>" * 100,
    "bomb": bombed,
}


@pytest.mark.parametrize("how", CORRUPT)
def test_a_corrupt_archive_without_a_digest_is_removed(
    how: str,
    server: Server,
    content: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.files["/file"] = CORRUPT[how](content)
    publish(server, server.files["/file"], monkeypatch, digest=False)
    assert "and were removed" in refused(tmp_path, "DOWNLOAD-UNFIT", capsys)
    assert not list(tmp_path.rglob("*.npy"))


def test_an_archive_that_climbs_out_writes_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    packed = write_cars3d(tmp_path / "published")
    stream = io.BytesIO(gzip.decompress(packed.read_bytes()))
    with tarfile.open(fileobj=stream, mode="a") as archive:
        member = tarfile.TarInfo("../../../outside.mat")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"evil"))
    server.files["/file"] = gzip.compress(stream.getvalue())
    publish(server, server.files["/file"], monkeypatch, "cars3d", digest=False)
    line = refused(tmp_path / "data", "DOWNLOAD-UNFIT", capsys, "cars3d")
    assert "outside of the archive" in line
    assert not list(tmp_path.rglob("outside*"))


TWO = """
import dataclasses, sys
from pathlib import Path
from evaluation.data import DATASETS
from evaluation.data.__main__ import main
from evaluation.data.dataset import WebFile
from evaluation.data.sets import dsprites
from tests.small_sets import SPRITES, cut

dsprites.FACTORS = cut(dsprites.FACTORS, SPRITES)
name, url, size, root = sys.argv[1:]
file = DATASETS[name].files[0]
DATASETS[name] = dataclasses.replace(DATASETS[name], files=(WebFile(file.path, url, int(size)),))
sys.exit(main(["download", name, "--data-root", root]))
"""


def test_two_processes_download_once(server: Server, content: bytes, tmp_path: Path) -> None:
    arguments = [NAME, f"{server.url}/file", str(len(content)), str(tmp_path / "data")]
    runs = [subprocess.Popen([sys.executable, "-c", TWO, *arguments]) for _ in range(2)]
    assert [run.wait(120) for run in runs] == [0, 0]
    assert len(server.requests) == 1
    assert (tmp_path / "data" / PATH).read_bytes() == content


@pytest.mark.parametrize(("name", "code"), [("isaac3d", "BY-HAND"), ("mpi3d_sim_toy", "RENDERED")])
def test_what_cannot_be_fetched_says_what_to_do(
    name: str, code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert download(tmp_path, name) == BAD_INPUT
    line = capsys.readouterr().err
    assert line.startswith(f"error[DOWNLOAD-{code}]: ")
    if code == "BY-HAND":
        assert "https://drive.google.com" in line and str(tmp_path / "isaac3d/labels.npy") in line


HUB = """
import sys
from pathlib import Path
from evaluation.common.errors import run_command
from evaluation.data.dataset import HubFile
from evaluation.data.download import fetching

def command(_):
    file = HubFile("mpi3d_toy/mpi3d_toy.npz", "owner/set", int(sys.argv[2]))
    revision = sys.argv[3] if len(sys.argv) > 3 else None
    copy = fetching._fetch(file, Path(sys.argv[1]), revision)
    fetching.remember(file, Path(sys.argv[1]), copy)
    return 0

run_command(command)
"""
HUB_PATH = "/datasets/owner/set/resolve"


def hub_run(
    server: Server, root: Path, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    size = max((len(content) for content in server.files.values()), default=0)
    environment = {
        **os.environ,
        "HF_ENDPOINT": server.url,
        "HF_HOME": str(root / "home"),
        "HF_HUB_DISABLE_XET": "1",
        **variables,
    }
    return subprocess.run(
        [sys.executable, "-c", HUB, str(root / "data"), str(size), *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )


@pytest.fixture
def hub() -> Iterator[Server]:
    content = np.random.RandomState(0).bytes(24_000_000)
    paths = [f"{HUB_PATH}/{at}/mpi3d_toy.npz" for at in ("main", COMMIT, "v1")]
    with serving(dict.fromkeys(paths, content)) as server:
        yield server


@pytest.mark.parametrize("revision", [None, "v1"])
def test_the_hub_is_asked_for_one_commit(hub: Server, revision: str | None, tmp_path: Path) -> None:
    run = hub_run(hub, tmp_path, *([revision] if revision else []))
    assert run.returncode == 0, run.stderr
    assert f"at commit {COMMIT}" in run.stdout
    asked = [request for request in hub.requests if HUB_PATH in request[1]]  # not of itself
    assert asked[0][1].startswith(f"{HUB_PATH}/{revision or 'main'}/")
    fetched_from = [path for method, path, _ in asked if method == "GET"]
    assert fetched_from
    assert all(path.startswith(f"{HUB_PATH}/{COMMIT}/") for path in fetched_from)
    fetched = tmp_path / "data/mpi3d_toy/mpi3d_toy.npz"
    assert fetched.read_bytes() == next(iter(hub.files.values()))


def test_the_hub_cutting_the_line_is_gone_on_with(hub: Server, tmp_path: Path) -> None:
    hub.cuts = 1
    run = hub_run(hub, tmp_path)
    assert run.returncode == 0, run.stderr
    assert hub.requests[-1][2] not in (None, "bytes=0-")
    fetched = tmp_path / "data/mpi3d_toy/mpi3d_toy.npz"
    assert fetched.read_bytes() == next(iter(hub.files.values()))


def test_the_hub_forbidden_is_one_line(hub: Server, tmp_path: Path) -> None:
    run = hub_run(hub, tmp_path, HF_HUB_OFFLINE="1")
    assert run.returncode == BAD_INPUT
    assert run.stderr.startswith("error[DOWNLOAD-OFFLINE]: "), run.stderr
    assert hub.requests == []


def test_a_commit_that_the_hub_lacks_is_one_line(hub: Server, tmp_path: Path) -> None:
    run = hub_run(hub, tmp_path, "nowhere")
    assert run.returncode == BAD_INPUT
    assert run.stderr.startswith("error[DOWNLOAD-REFUSED]: "), run.stderr
    assert not (tmp_path / "data/mpi3d_toy/mpi3d_toy.npz").exists()


def test_the_hub_giving_another_file_than_it_says_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    (folder / "part").write_bytes(b"other")
    file = HubFile("x/y.npz", "owner/set", 5)
    with pytest.raises(KitError, match="must have"):
        fetching._require_digest(folder / "part", "sha256:" + "0" * 64, file)
    assert not (folder / "part").exists()


def test_a_file_without_a_digest_must_stay_what_it_was_first(
    server: Server,
    content: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    publish(server, content, monkeypatch, digest=False)
    assert download(tmp_path) == 0
    other = tmp_path / "other"
    np.savez(other, **np.load(tmp_path / PATH, allow_pickle=True, encoding="latin1"), another=1)
    server.files["/file"] = other.with_suffix(".npz").read_bytes()
    publish(server, server.files["/file"], monkeypatch, digest=False)
    (tmp_path / PATH).unlink()
    line = refused(tmp_path, "DOWNLOAD-CHANGED", capsys)
    assert hashlib.sha256(content).hexdigest() in line
    record = tmp_path / ".download" / f"{Path(PATH).name}.json"
    assert line.endswith(f"remove {record}.\n")
    record.unlink()
    assert download(tmp_path) == 0
    record.write_text("{")
    (tmp_path / PATH).unlink()
    refused(tmp_path, "DOWNLOAD-RECORD", capsys)


def test_the_commit_that_came_first_is_asked_for_again(hub: Server, tmp_path: Path) -> None:
    assert hub_run(hub, tmp_path).returncode == 0
    record = json.loads((tmp_path / "data/.download/mpi3d_toy.npz.json").read_text())
    sha256 = hashlib.sha256(next(iter(hub.files.values()))).hexdigest()
    assert record == {"source": "owner/set", "commit": COMMIT, "sha256": sha256}
    (tmp_path / "data/mpi3d_toy/mpi3d_toy.npz").unlink()
    hub.requests.clear()
    assert hub_run(hub, tmp_path).returncode == 0
    asked = [path for _, path, _ in hub.requests if HUB_PATH in path]
    assert asked
    assert all(path.startswith(f"{HUB_PATH}/{COMMIT}/") for path in asked)
