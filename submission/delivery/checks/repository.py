"""Checks the git repository, as a push would send it."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from evaluation.common.errors import KitError
from evaluation.common.files import readable_size
from submission.delivery import bundle
from submission.delivery.git import git, has_remote, lines, submission_tags, uses_lfs

LARGE_BYTES = 5_000_000
"""Files above this size belong in Git LFS, because git keeps every version of a file."""


def problems(root: Path, tag: str, remote: str) -> Iterator[KitError]:
    """Yields the problems that prevent a push of `root` to `remote` as `tag`.

    The bundle may differ from the last commit, because `submit` commits it. If there is no such
    remote, only local tags are checked.
    """
    try:
        git(root, "rev-parse", "--verify", "HEAD")
    except KitError:
        yield KitError(
            "GIT-ABSENT",
            f"{root} is not a git repository with a commit",
            "Get the kit with git clone",
        )
        return
    if not lines(root, "branch", "--show-current"):
        yield KitError("GIT-DETACHED", "no branch is checked out", "Make one: git switch -c BRANCH")
    yield from _changes(root)
    yield from _large_files(root)
    yield from _tags(root, tag, remote if has_remote(root, remote) else None)


def changed_bundle(root: Path) -> list[str]:
    """Paths that `bundle.make` has written or removed since the last commit."""
    members, before = [], []
    with suppress(KitError):
        members = [*bundle.members(root), bundle.MANIFEST]
    with suppress(KitError):
        before = bundle.members_in(git(root, "show", f"HEAD:{bundle.MANIFEST}"))
    return [
        path
        for path, letters in changes(root).items()
        if path in members or (path in before and "D" in letters)
    ]


def changes(root: Path) -> dict[str, str]:
    """Path -> git's two status letters, for each path that differs from the last commit."""
    entries = lines(root, "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames")
    return {entry[3:]: entry[:2] for entry in entries}


def large_files(root: Path, paths: list[str]) -> list[str]:
    """Those of `paths` that are above `LARGE_BYTES` and not in Git LFS."""
    files = [path for path in paths if (root / path).is_file()]
    large = [path for path in files if (root / path).stat().st_size > LARGE_BYTES]
    return [path for path, lfs in uses_lfs(root, large).items() if not lfs]


def needing_lfs(root: Path) -> list[str]:
    """Paths that a push sends with Git LFS: large files of the bundle, and files that
    .gitattributes names.
    """
    changed = changed_bundle(root)
    listed = uses_lfs(root, [*lines(root, "ls-files", "-z"), *changed])
    return [*large_files(root, changed), *(path for path, lfs in listed.items() if lfs)]


def has_lfs(root: Path) -> bool:
    """Whether git finds Git LFS."""
    try:
        git(root, "lfs", "version")
    except KitError:
        return False
    return True


def _changes(root: Path) -> Iterator[KitError]:
    expected = changed_bundle(root)
    for path, letters in changes(root).items():
        if path in expected:
            continue
        if letters == "??":
            yield KitError(
                "TREE-UNTRACKED",
                f"git does not track {path}, so it would not be submitted",
                f"Run git add {path}, or list it in .gitignore",
            )
        else:
            yield KitError(
                "TREE-DIRTY",
                f"{path} differs from the last commit",
                f"Run git commit {path}, or git checkout {path} to undo the change",
            )


def _large_files(root: Path) -> Iterator[KitError]:
    for path in large_files(root, lines(root, "ls-files", "-z")):
        yield KitError(
            "LFS-UNTRACKED",
            f"{path} has {readable_size((root / path).stat().st_size)}, but files above "
            f"{readable_size(LARGE_BYTES)} belong in Git LFS",
            f"Run git lfs track --filename {path}, then commit it again",
        )
    through_lfs = needing_lfs(root)
    if through_lfs and not has_lfs(root):
        yield KitError(
            "LFS-MISSING",
            f"{through_lfs[0]} needs Git LFS, which is not installed",
            "Install git-lfs",
        )


def _tags(root: Path, tag: str, remote: str | None) -> Iterator[KitError]:
    if not tag.startswith("submission-"):
        yield KitError(
            "TAG-NAME",
            f"AIcrowd does not evaluate the tag '{tag}'",
            "Begin its name with 'submission-'",
        )
    else:
        try:
            git(root, "check-ref-format", f"refs/tags/{tag}")
        except KitError:
            yield KitError(
                "TAG-NAME",
                f"git does not allow '{tag}' as the name of a tag",
                "Use letters, digits, hyphens and dots, as in submission-v1.2",
            )
    try:
        taken = submission_tags(root, remote)
    except KitError as error:
        yield error
        taken = submission_tags(root, None)
    if tag in taken:
        yield KitError("TAG-TAKEN", f"the tag '{tag}' exists already", "Choose another with --tag")
    head = git(root, "rev-parse", "HEAD")
    evaluated = [name for name, commit in taken.items() if commit == head]
    if evaluated and not changed_bundle(root):
        yield KitError(
            "COMMIT-EVALUATED",
            f"this commit was submitted as '{evaluated[0]}', and AIcrowd evaluates a commit once",
            "Bundle another encoder, or make a new commit",
        )
