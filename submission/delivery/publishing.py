"""Pushes an export with its card to the Hugging Face Hub, by the Hub's own library.

The library obeys HF_ENDPOINT, HF_HUB_OFFLINE and HF_TOKEN.
"""

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evaluation.common import environment
from evaluation.common.errors import KitError, first_line, require
from evaluation.common.files import readable_size, sha256_of
from evaluation.common.terminal import console
from submission.delivery import card

_BESIDE = ("config.gin", "report.html", "scores.json", "stats.csv")
"""Files of an experiment that are pushed with the export and its card."""


def publish(experiment: str, repository: str, *, dry_run: bool) -> None:
    """Pushes `$AICROWD_OUTPUT_PATH/<experiment>` as a commit of a model repository.

    The repository is made if there is none.

    Args:
        experiment: Name of the experiment's folder.
        repository: "OWNER/NAME".
        dry_run: Only list what would be pushed.

    Raises:
        KitError: the export or its card are missing; `PUBLISH-NAME`; `PUBLISH-CARD`, the card is of
            another export; `PUBLISH-OFFLINE`, `PUBLISH-REFUSED` or `PUBLISH-LOST`.
    """
    require("huggingface_hub")
    _require_name(repository)
    folder = environment.output_path() / experiment
    names = files_to_push(folder, experiment)
    for name in names:
        size = readable_size((folder / name).stat().st_size)
        console.print(f"{name} ({size})", markup=False)
    if dry_run:
        console.print(f"A dry run: nothing was sent to {repository}", markup=False)
        return
    from huggingface_hub import HfApi

    api = HfApi()
    with _refusing(repository):
        api.create_repo(repository, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            allow_patterns=[glob.escape(name) for name in names],
            commit_message=f"Publish {experiment}",
        )
    console.print(f"Published at {commit.commit_url}", markup=False)


def files_to_push(folder: Path, experiment: str) -> list[str]:
    """Names, relative to an experiment's folder, of the export, its card, scores and config.

    Links and hidden files are left out, and so are checkpoints and tables of codes.

    Raises:
        KitError: as in `publish`.
    """
    export = card.exported(folder)
    path = folder / card.NAME
    if not path.is_file() or sha256_of(export.path) not in path.read_text("utf-8", "replace"):
        raise KitError(
            "PUBLISH-CARD",
            f"{path} is missing, or is the card of another export",
            f"Write one: .venv/bin/python -m submission card {experiment}",
        )
    found = [path, *(folder / name for name in _BESIDE), *(folder / "representation").rglob("*")]
    return sorted(
        file.relative_to(folder).as_posix()
        for file in found
        if file.is_file() and not file.is_symlink() and not file.name.startswith(".")
    )


def _require_name(repository: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repository)
        if "/" not in repository:
            raise HFValidationError("the owner is missing")
    except HFValidationError as error:
        raise KitError(
            "PUBLISH-NAME",
            f"{repository!r} is no name of a repository: {error}",
            "Give --repo OWNER/NAME",
        ) from None


@contextmanager
def _refusing(repository: str) -> Iterator[None]:
    from huggingface_hub import errors

    try:
        yield
    except errors.OfflineModeIsEnabled as error:
        raise KitError(
            "PUBLISH-OFFLINE", "HF_HUB_OFFLINE forbids the upload", "Unset HF_HUB_OFFLINE"
        ) from error
    except (errors.HfHubHTTPError, errors.LocalTokenNotFoundError) as error:
        raise KitError(
            "PUBLISH-REFUSED",
            f"the Hub refuses {repository} ({first_line(error)})",
            "Set HF_TOKEN to a token that may write there, or run `hf auth login`",
        ) from error
    except (OSError, ValueError, RuntimeError, errors.HTTPError) as error:
        raise KitError(
            "PUBLISH-LOST",
            f"{repository} was not published ({first_line(error)})",
            "Check the network and HF_ENDPOINT, and run the command again",
        ) from error
