"""Fetches a file from a web server, and continues after a lost connection or a killed process."""

import time
from pathlib import Path
from typing import Any, NoReturn

from evaluation.common.errors import KitError, require
from evaluation.common.files import free_bytes, readable_size
from evaluation.common.terminal import progress
from evaluation.data.dataset import WebFile

TRIES = 6
"""After so many connections in a row without any data, the download is given up."""

BLOCK = 1 << 14
"""Bytes for each read. If the connection breaks within a block, all of that block is lost."""

_SECONDS_OF_SILENCE = 60
_LONGEST_WAIT = 120.0
"""The longest pause in seconds that a server may ask for; after a longer one, we give up."""
_TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_SLACK = 20_000_000
"""Bytes that a file may have beyond its known size. This limit stops endless answers."""


def fetch(file: WebFile, folder: Path) -> Path:
    """Fetches a file.

    Args:
        file: The file.
        folder: A folder that only this process uses. A part from an earlier try is continued.

    Returns:
        The path of the whole file in `folder`.

    Raises:
        KitError: `DOWNLOAD-REFUSED`, the server refuses or gives a web page; `DOWNLOAD-SIZE`, it
            gives too many bytes; `DOWNLOAD-LOST`, it cannot be reached or breaks the connection
            too often; `DATA-DISK-FULL`.
    """
    require("requests")
    import requests

    part = folder / "part"
    failures = 0
    with requests.Session() as session:
        while True:
            before = _size(part)
            try:
                wait = _continue(session, file, part)
            except requests.RequestException as error:
                wait, reason = min(2.0**failures, 30.0), str(error)
            else:
                if wait is None:
                    return part
                reason = f"the server asks for a pause of {wait:.0f} s"
            failures = 0 if _size(part) > before else failures + 1
            if failures == TRIES or wait > _LONGEST_WAIT:
                raise KitError(
                    "DOWNLOAD-LOST",
                    f"{file.url} was not fetched after {failures} tries ({reason});"
                    f" {readable_size(_size(part))} are kept",
                    "Try again later: the download continues from there",
                )
            time.sleep(wait)


def _continue(session: Any, file: WebFile, part: Path) -> float | None:
    """Fetches the missing bytes. Returns None if the file is whole, else the seconds to wait.

    Raises:
        requests.RequestException: the connection broke.
        KitError: the server sends something else than the file.
    """
    import requests

    tag = part.with_suffix(".tag")
    start = _size(part)
    headers = {"Accept-Encoding": "identity"}  # a range of compressed bytes cannot be appended
    if start and tag.is_file():
        headers |= {"Range": f"bytes={start}-", "If-Range": tag.read_text(encoding="utf-8")}
    with session.get(
        file.url, headers=headers, stream=True, timeout=_SECONDS_OF_SILENCE
    ) as response:
        if response.status_code in _TRY_AGAIN:
            return _asked_to_wait(response.headers.get("Retry-After"))
        if response.status_code == 416:  # the server's file is shorter than our part of it
            part.unlink()
            return 0.0
        _require_file(response, file)
        if response.status_code != 206 or not _begins_at(response, start):
            start = 0  # the server does not support ranges, or has another file now
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
    """Stores the tag that identifies this version of the file, if the server sends one."""
    strong = response.headers.get("ETag", "")
    weak = not strong or strong.startswith("W/")
    known = response.headers.get("Last-Modified") if weak else strong
    if known:
        tag.write_text(known, encoding="utf-8")
    else:
        tag.unlink(missing_ok=True)


def _asked_to_wait(header: str | None) -> float:
    """The pause in seconds from a Retry-After header, a number or a date; 1.0 without one."""
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
            f"{file.url} sends more than {readable_size(most)}; the file has"
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
