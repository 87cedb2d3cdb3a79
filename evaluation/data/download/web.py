"""A file of a web server: goes on where a lost connection, or a killed process, left it."""

import time
from pathlib import Path
from typing import Any, NoReturn

from evaluation.common.errors import KitError, require
from evaluation.common.files import free_bytes, readable_size
from evaluation.common.terminal import progress
from evaluation.data.dataset import WebFile

TRIES = 6
"""Connections in a row that may bring nothing before it is given up."""

BLOCK = 1 << 14
"""Bytes that are read at once: where a connection breaks, the library keeps no part of a block."""

_SECONDS_OF_SILENCE = 60
_LONGEST_WAIT = 120.0
"""Seconds that a server may ask to be left alone; one that asks for more is not waited for."""
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_SLACK = 20_000_000
"""What a file may have more than it is known to have, and not be endless."""


def fetch(file: WebFile, folder: Path) -> Path:
    """Fetches a file into a folder that is this process's own.

    Raises:
        KitError: the server refuses, gives a web page or more than there can be, is not reached
            or breaks off too often, or the disk has no room.
    """
    require("requests")
    import requests

    part = folder / "part"
    failures = 0
    with requests.Session() as session:
        while True:
            before = _size(part)
            try:
                wait = _go_on(session, file, part)
            except requests.RequestException as error:
                wait, reason = min(2.0**failures, 30.0), str(error)
            else:
                if wait is None:
                    return part
                reason = f"it asks to be left alone for {wait:.0f} s"
            failures = 0 if _size(part) > before else failures + 1
            if failures == TRIES or wait > _LONGEST_WAIT:
                raise KitError(
                    "DOWNLOAD-LOST",
                    f"{file.url} was not fetched after {failures} tries ({reason});"
                    f" {readable_size(_size(part))} are kept",
                    "Try again later: it goes on from there",
                )
            time.sleep(wait)


def _go_on(session: Any, file: WebFile, part: Path) -> float | None:
    """Fetches what is missing; None when the file is whole, else the seconds to wait.

    Raises:
        requests.RequestException: the connection broke.
        KitError: what comes is not the file.
    """
    import requests

    tag = part.with_suffix(".tag")
    start = _size(part)
    headers = {"Accept-Encoding": "identity"}  # a range of packed bytes would be of no use
    if start and tag.is_file():
        headers |= {"Range": f"bytes={start}-", "If-Range": tag.read_text(encoding="utf-8")}
    with session.get(
        file.url, headers=headers, stream=True, timeout=_SECONDS_OF_SILENCE
    ) as response:
        if response.status_code in _TRY_AGAIN:
            return _asked_to_wait(response.headers.get("Retry-After"))
        if response.status_code == 416:  # the file is shorter than what is here of it
            part.unlink()
            return 0.0
        _require_file(response, file)
        if response.status_code != 206 or not _begins_at(response, start):
            start = 0  # the server knows no ranges, or has another file now
            part.write_bytes(b"")
        _remember(response, tag)
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdecimal() else None
        _require_size(total or 0, file, part.parent, start)
        with (
            part.open("ab") as stream,
            progress(f"Fetching {Path(file.path).name}", total or file.bytes, start) as advance,
        ):
            size = start
            for block in response.iter_content(BLOCK):
                size += len(block)
                _require_size(size, file, part.parent, size)
                stream.write(block)
                advance(len(block))
    if total is not None and size != total:
        raise requests.ConnectionError(f"{size:,} of {total:,} bytes came")
    return None


def _begins_at(response: Any, start: int) -> bool:
    return str(response.headers.get("Content-Range", "")).startswith(f"bytes {start}-")


def _remember(response: Any, tag: Path) -> None:
    """Keeps what tells this version of the file from another, if the server says it."""
    strong = response.headers.get("ETag", "")
    weak = not strong or strong.startswith("W/")
    known = response.headers.get("Last-Modified") if weak else strong
    if known:
        tag.write_text(known, encoding="utf-8")
    else:
        tag.unlink(missing_ok=True)


def _asked_to_wait(header: str | None) -> float:
    """Seconds, by a number or a date; one where a server does not say."""
    from email.utils import parsedate_to_datetime

    if not header:
        return 1.0
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return 1.0


def _require_file(response: Any, file: WebFile) -> None:
    if response.status_code not in (200, 206):
        _refuse(file, f"answers {response.status_code}")
    if response.headers.get("Content-Type", "").startswith("text/html"):
        _refuse(file, "gives a web page, not the file")


def _refuse(file: WebFile, what: str) -> NoReturn:
    raise KitError(
        "DOWNLOAD-REFUSED",
        f"{file.url} {what}",
        f"Get the file another way, and put it below the data root as {file.path}",
    )


def _require_size(size: int, file: WebFile, folder: Path, done: int) -> None:
    most = file.bytes + file.bytes // 10 + _SLACK
    if size > most:
        (folder / "part").unlink(missing_ok=True)
        raise KitError(
            "DOWNLOAD-SIZE",
            f"{file.url} gives more than {readable_size(most)}; the file has"
            f" {readable_size(file.bytes)}",
            f"Get the file another way, and put it below the data root as {file.path}",
        )
    if done == 0 and size > free_bytes(folder):
        raise KitError(
            "DATA-DISK-FULL",
            f"{file.path} has {readable_size(size)}, more than the disk of {folder} has free",
            "Free some space, or name a folder on another disk with --data-root",
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
