"""Fetches a file from the Hugging Face Hub with the Hub's own library.

The library continues an interrupted download, and obeys HF_ENDPOINT, HF_HUB_OFFLINE and HF_TOKEN.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from evaluation.common.errors import KitError, first_line, require
from evaluation.common.terminal import console
from evaluation.data.dataset import HubFile

_SHA256_LENGTH = 64


class Found(NamedTuple):
    """A file that the Hub has.

    Args:
        commit: The commit of the repository.
        bytes: Size of the file; None if the Hub does not tell.
        digest: "sha256:…"; None if the Hub does not tell.
    """

    commit: str | None
    bytes: int | None
    digest: str | None


def ask(file: HubFile, revision: str | None) -> Found:
    """Asks the Hub for a file's commit, size and digest.

    Args:
        revision: Branch, tag or commit; None for the newest commit.

    Raises:
        KitError: `DOWNLOAD-OFFLINE`, HF_HUB_OFFLINE is set; `DOWNLOAD-REFUSED`, the Hub refuses;
            `DOWNLOAD-LOST`, the Hub cannot be reached.
    """
    require("huggingface_hub")
    import huggingface_hub

    name = Path(file.path).name
    with _refusing(file, revision):
        url = huggingface_hub.hf_hub_url(
            file.repository, name, repo_type="dataset", revision=revision
        )
        found = huggingface_hub.get_hf_file_metadata(url)
    console.print(f"{name} of {file.repository} at commit {found.commit_hash}", markup=False)
    # The Hub uses the SHA-256 of a file in Git LFS as its ETag.
    tagged = found.etag is not None and len(found.etag) == _SHA256_LENGTH
    return Found(found.commit_hash, found.size, f"sha256:{found.etag}" if tagged else None)


def fetch(file: HubFile, folder: Path, found: Found) -> Path:
    """Fetches the file of the commit that `ask` found, even if a newer commit exists by now.

    Args:
        folder: A folder that only this process uses.

    Returns:
        The path of the file in it.

    Raises:
        KitError: as in `ask`.
    """
    import huggingface_hub

    with _refusing(file, found.commit):
        path = huggingface_hub.hf_hub_download(
            file.repository,
            Path(file.path).name,
            repo_type="dataset",
            revision=found.commit,
            local_dir=folder,
        )
    return Path(path)


@contextmanager
def _refusing(file: HubFile, revision: str | None) -> Iterator[None]:
    from huggingface_hub import errors

    name = Path(file.path).name
    try:
        yield
    except errors.OfflineModeIsEnabled as error:
        raise KitError(
            "DOWNLOAD-OFFLINE",
            f"{name} is missing, and HF_HUB_OFFLINE forbids the download",
            f"Unset HF_HUB_OFFLINE, or put the file below the data root as {file.path}",
        ) from error
    except (errors.HfHubHTTPError, errors.EntryNotFoundError, errors.FileMetadataError) as error:
        raise KitError(
            "DOWNLOAD-REFUSED",
            f"the Hub refuses {name} of {file.repository} at {revision or 'its newest commit'}"
            f" ({first_line(error)})",
            "Check --revision and HF_ENDPOINT",
        ) from error
    except (OSError, ValueError, RuntimeError, errors.HTTPError) as error:
        raise KitError(
            "DOWNLOAD-LOST",
            f"{name} of {file.repository} was not fetched ({first_line(error)})",
            "Try again later: the download continues where it stopped",
        ) from error
