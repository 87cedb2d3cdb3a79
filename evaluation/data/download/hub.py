"""A file of the Hugging Face Hub, through its own library.

The library goes on where it was cut off, and follows HF_ENDPOINT, HF_HUB_OFFLINE and HF_TOKEN.
"""

from pathlib import Path

from evaluation.common.errors import KitError, require
from evaluation.common.terminal import console
from evaluation.data.dataset import HubFile

_SHA256_LENGTH = 64


def fetch(file: HubFile, folder: Path, revision: str | None) -> tuple[Path, str | None]:
    """Fetches a file into a folder that is this process's own.

    Args:
        revision: Branch, tag or commit; None takes the newest.

    Returns:
        The file, and its digest as the registry or the Hub has it.

    Raises:
        KitError: the Hub is not reached, refuses, or is not to be asked.
    """
    require("huggingface_hub")
    import huggingface_hub
    from huggingface_hub import errors

    name = Path(file.path).name
    try:
        found = huggingface_hub.get_hf_file_metadata(
            huggingface_hub.hf_hub_url(
                file.repository, name, repo_type="dataset", revision=revision
            )
        )
        console.print(f"{file.repository} at commit {found.commit_hash}", markup=False)
        path = huggingface_hub.hf_hub_download(
            file.repository,
            name,
            repo_type="dataset",
            # What was asked about is what is fetched, whatever is published meanwhile.
            revision=found.commit_hash or revision,
            local_dir=folder,
        )
    except errors.OfflineModeIsEnabled as error:
        raise KitError(
            "DOWNLOAD-OFFLINE",
            f"{name} is not here, and HF_HUB_OFFLINE forbids to fetch it",
            "Unset HF_HUB_OFFLINE, or put the file below the data root as " + file.path,
        ) from error
    except (errors.HfHubHTTPError, errors.EntryNotFoundError, errors.FileMetadataError) as error:
        raise _refused(file, revision, error) from error
    except (OSError, ValueError, RuntimeError, errors.HTTPError) as error:
        raise KitError(
            "DOWNLOAD-LOST",
            f"{name} of {file.repository} was not fetched ({_first_line(error)})",
            "Try again later: it goes on where it was",
        ) from error
    digest = file.digest
    if digest is None and found.etag and len(found.etag) == _SHA256_LENGTH:
        digest = f"sha256:{found.etag}"
    return Path(path), digest


def _refused(file: HubFile, revision: str | None, error: Exception) -> KitError:
    return KitError(
        "DOWNLOAD-REFUSED",
        f"the Hub refuses {Path(file.path).name} of {file.repository}"
        f" at {revision or 'its newest commit'} ({_first_line(error)})",
        "Check --revision and HF_ENDPOINT",
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
