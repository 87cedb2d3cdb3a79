"""The git commands that a submission needs."""

import shlex
import subprocess
from pathlib import Path

from evaluation.common.errors import KitError


def git(root: Path, *arguments: str) -> str:
    """Runs `git ARGUMENTS` in `root`, and returns its output without the last newline.

    Raises:
        KitError: `GIT-MISSING`, git is not installed; `GIT-FAILED`, the command failed.
    """
    try:
        result = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",  # file names may have bytes that are not UTF-8
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except FileNotFoundError:
        raise KitError("GIT-MISSING", "git is not installed", "Install git") from None
    if result.returncode != 0:
        reason = (result.stderr.strip() or f"status {result.returncode}").splitlines()[-1]
        raise KitError(
            "GIT-FAILED",
            f"`git {shlex.join(arguments)}` failed: {reason}",
            "Correct what git reports and run the command again",
        )
    return result.stdout.rstrip("\n")


def lines(root: Path, *arguments: str) -> list[str]:
    """The lines of git's output. With the argument `-z`, its parts that end with NUL."""
    separator = "\0" if "-z" in arguments else "\n"
    return [line for line in git(root, *arguments).split(separator) if line]


def has_remote(root: Path, remote: str) -> bool:
    """Whether git knows a remote of that name; False outside of a repository."""
    try:
        return remote in lines(root, "remote")
    except KitError:
        return False


def submission_tags(root: Path, remote: str | None) -> dict[str, str]:
    """Tag `submission-*` -> its commit, for tags in this repository and on `remote`.

    Args:
        remote: Name of a remote; None for this repository only.

    Raises:
        KitError: `GIT-FAILED`, for example if the remote does not answer.
    """
    pattern = "refs/tags/submission-*"
    listed = [
        f"{commit or own}\t{name}"
        for own, commit, name in (
            line.split("\t")
            for line in lines(
                root,
                "for-each-ref",
                "--format=%(objectname)%09%(*objectname)%09%(refname)",
                pattern,
            )
        )
    ]
    if remote is not None:
        # git lists an annotated tag twice. The second line, NAME^{}, has its commit.
        listed += lines(root, "ls-remote", "--quiet", remote, pattern)
    commits = {}
    for line in listed:
        commit, name = line.split("\t")
        commits[name.removeprefix("refs/tags/").removesuffix("^{}")] = commit
    return commits


def uses_lfs(root: Path, paths: list[str]) -> dict[str, bool]:
    """Path -> whether .gitattributes puts it into Git LFS."""
    if not paths:
        return {}
    fields = lines(root, "check-attr", "-z", "filter", "--", *paths)
    return {path: value == "lfs" for path, value in zip(fields[::3], fields[2::3], strict=True)}
