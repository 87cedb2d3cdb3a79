"""Checks the files that AIcrowd uses: aicrowd.json, run.sh, Dockerfile and requirements.txt."""

import json
import re
from collections.abc import Container, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from evaluation.common.errors import KitError
from submission.delivery.git import lines

CHALLENGE = "aicrowd-neurips-2019-disentanglement-challenge"
KIT_AUTHOR = "Seed 58530945 maintainers"
"""The author in the kit's own aicrowd.json."""

USER, UID, ENTRY = "aicrowd", "1001", "/home/aicrowd/run.sh"

_TYPES: dict[str, type] = {
    "challenge_id": str,
    "grader_id": str,
    "authors": list,
    "description": str,
    "gpu": bool,
    "license": str,
}
_OPTIONAL = {"license"}
_PLACEHOLDERS = {
    *("aicrowd", "author", "authors", "example", "first", "full", "gitlab", "here", "last", "me"),
    *("my", "name", "participant", "the", "todo", "user", "username", "xxx", "your"),
}
_PINNED = re.compile(r"[\w.-]+(\[[\w.,-]+\])?\s*==\s*[\w.!+-]+\s*(;.*)?")


def problems(root: Path, to_submit: bool) -> Iterator[KitError]:
    """Yields the problems of the four files in `root`.

    Args:
        root: The checkout.
        to_submit: Whether they will be submitted. Then the kit's author is not accepted as author.
    """
    nobody = {KIT_AUTHOR} if to_submit else set()
    for name, check in (
        ("aicrowd.json", partial(_aicrowd_json, nobody=nobody)),
        ("run.sh", _run_script),
        ("Dockerfile", _dockerfile),
        ("requirements.txt", _requirements),
    ):
        try:
            yield from check(root / name)
        except (FileNotFoundError, IsADirectoryError):
            yield KitError("FILE-ABSENT", f"{name} is missing", f"Restore it: git checkout {name}")
        except UnicodeDecodeError as error:
            yield KitError("FILE-ENCODING", f"{name} is not UTF-8: {error}", "Save it as UTF-8")


def _aicrowd_json(path: Path, nobody: Container[str]) -> Iterator[KitError]:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        yield KitError("AICROWD-JSON", f"aicrowd.json is not JSON ({error})", "Correct that line")
        return
    if not isinstance(content, dict):
        yield KitError("AICROWD-JSON", "aicrowd.json is not an object", "Write it as {...}")
        return

    for key in content.keys() - _TYPES.keys():
        known = ", ".join(_TYPES)
        yield KitError(
            "AICROWD-KEY", f"aicrowd.json has the unknown key '{key}'", f"Use only {known}"
        )
    for key, kind in _TYPES.items():
        if key not in content:
            if key not in _OPTIONAL:
                yield KitError("AICROWD-KEY", f"aicrowd.json lacks the key '{key}'", "Add it")
        elif not isinstance(content[key], kind):
            yield KitError(
                "AICROWD-TYPE",
                f"aicrowd.json: '{key}' is {content[key]!r}, not a {kind.__name__}",
                f"Write a JSON value of the type {kind.__name__}",
            )
        elif key in ("challenge_id", "grader_id") and content[key] != CHALLENGE:
            yield KitError(
                "AICROWD-ID",
                f"aicrowd.json: '{key}' is '{content[key]}'",
                f"Set it to {CHALLENGE}",
            )
    authors = content.get("authors")
    if isinstance(authors, list):
        yield from _authors(authors, nobody)


def _authors(authors: list[Any], nobody: Container[str]) -> Iterator[KitError]:
    for author in authors or [""]:
        if not isinstance(author, str) or _is_placeholder(author) or author in nobody:
            yield KitError(
                "AICROWD-AUTHOR",
                f"aicrowd.json: {author!r} is not the name of a participant",
                "List the AIcrowd user names of the people who submit",
            )


def _is_placeholder(author: str) -> bool:
    return set(re.findall("[^\\W\\d_]+", author.lower())) <= _PLACEHOLDERS


def _run_script(path: Path) -> Iterator[KitError]:
    if not (path.stat().st_mode & 0o111 and _runs_in_git(path)):
        yield KitError(
            "RUN-BIT",
            "run.sh is not executable",
            "Make it executable: git update-index --chmod=+x run.sh; chmod +x run.sh",
        )
    content = path.read_bytes()
    if b"\r" in content:
        yield KitError(
            "RUN-LINE-ENDS",
            "run.sh has Windows line endings",
            "Convert it: sed -i 's/\\r$//' run.sh",
        )
    if not content.startswith(b"#!"):
        yield KitError(
            "RUN-SHEBANG",
            "the first line of run.sh names no interpreter",
            "Begin it with #!/usr/bin/env bash",
        )


def _runs_in_git(path: Path) -> bool:
    """Whether git's index has the file as executable. A push sends the index's mode of the file."""
    try:
        entries = lines(path.parent, "ls-files", "--stage", path.name)
    except KitError:  # no repository
        return True
    return not any(entry.startswith("100644") for entry in entries)


def _dockerfile(path: Path) -> Iterator[KitError]:
    text = re.sub(r"\\\n", " ", path.read_text(encoding="utf-8"))
    stage = re.split(r"(?im)^FROM ", text)[-1]
    users = re.findall(r"(?im)^USER +(\S+)", stage)
    if not users or users[-1] not in (USER, UID):
        yield KitError(
            "DOCKERFILE-USER",
            f"the image runs as {users[-1] if users else 'root'}",
            f"End the Dockerfile's last stage with USER {USER} (uid {UID})",
        )
    if not re.search(rf"(?im)^(CMD|ENTRYPOINT) .*{re.escape(ENTRY)}", stage):
        yield KitError(
            "DOCKERFILE-ENTRY",
            f"the image does not start {ENTRY}",
            f'End the Dockerfile with CMD ["{ENTRY}"]',
        )


def _requirements(path: Path) -> Iterator[KitError]:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        requirement = line.partition("#")[0].strip()
        if requirement and not _PINNED.fullmatch(requirement):
            yield KitError(
                "REQUIREMENT-LOOSE",
                f"requirements.txt:{number}: '{requirement}' has no exact version",
                "Pin it with ==",
            )
