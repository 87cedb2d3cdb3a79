"""Submits to AIcrowd: pushes a tag to a repository there."""

import re
import shlex
from pathlib import Path

from evaluation.common.errors import KitError
from evaluation.common.terminal import console
from submission.delivery import checks
from submission.delivery.checks.repository import changed_bundle, large_files, needing_lfs
from submission.delivery.git import git, has_remote

TAG, REMOTE = "submission-v1", "aicrowd"
"""The default names."""


def submit(root: Path, tag: str, remote: str, dry_run: bool) -> int:
    """Checks the submission, commits the bundle, makes the tag, and pushes branch and tag.

    A tag that could not be pushed is removed, so that the same command can be run again.

    Args:
        root: The checkout.
        tag: Name of the tag.
        remote: Name of the remote.
        dry_run: Whether to print the git commands without running them.

    Returns:
        The exit status. It is 1 if the check found problems. Then they are printed, and nothing
        else is done.

    Raises:
        KitError: `SUBMIT-REMOTE`, there is no such remote; `GIT-FAILED`, git or the remote refused
            a command.
    """
    if not has_remote(root, remote):
        raise KitError(
            "SUBMIT-REMOTE",
            f"git has no remote '{remote}'",
            f"Add it: git remote add {remote} git@gitlab.aicrowd.com:USER/PROJECT.git",
        )
    report = checks.check(root, tag, remote)
    report.show()
    if report.problems:
        return report.status

    def run_git(*arguments: str) -> None:
        console.print(f"git {shlex.join(arguments)}", markup=False)
        if not dry_run:
            git(root, *arguments)

    changed = changed_bundle(root)
    large = large_files(root, changed)
    through_lfs = bool(needing_lfs(root))
    if through_lfs:
        # --skip-repo installs no hooks: the user may have hooks with the same names.
        run_git("lfs", "install", "--local", "--skip-repo")
    if large:
        run_git("lfs", "track", "--filename", *large)
        changed.append(".gitattributes")
    if changed:
        run_git("add", "--", *changed)
        run_git("commit", "--quiet", "--message", f"Bundle the encoder of {tag}", "--", *changed)
    branch = git(root, "branch", "--show-current")
    run_git("tag", "--annotate", tag, "--message", f"Submission {tag}")
    try:
        if through_lfs:
            run_git("lfs", "push", remote, branch)
        run_git("push", "--atomic", remote, branch, f"refs/tags/{tag}")
    except BaseException:  # also Ctrl-C during the push
        git(root, "tag", "--delete", tag)
        raise
    console.print(f"Watch {address(git(root, 'remote', 'get-url', remote))}")
    return 0


def address(url: str) -> str:
    """The page where AIcrowd reports on a submission: the issues of the repository at `url`."""
    match = re.fullmatch(
        r"(?:ssh://|https://)?(?:[^@/]+@)?([^/:]+)(?::\d+)?[:/](.+?)(?:\.git)?/?", url
    )
    if match is None or Path(url).exists():
        return url
    host, path = match.groups()
    return f"https://{host}/{path}/issues"
