"""Loads a config of the method, and reports errors in it before torch is imported."""

from collections.abc import Sequence
from pathlib import Path

from evaluation.common import gin_config
from evaluation.common.environment import LABELS_LINE
from evaluation.common.files import whole_file
from evaluation.common.gin_sources import stand_ins


def load(path: Path, bindings: Sequence[str] = ()) -> None:
    """Replaces the whole configuration, see `evaluation.common.gin_config.load`.

    Args:
        path: The gin file.
        bindings: Each of the form "name.parameter = value".

    Raises:
        KitError: as in `gin_config.load`. It is raised before torch is imported, unless the config
            imports modules of the user.
    """
    if not gin_config.imported_modules(path, bindings):
        with stand_ins("submission"):
            gin_config.load(path, bindings)
    # These imports register the configurables in gin.
    from submission import settings  # noqa: F401
    from submission.features import aggregation, extractors  # noqa: F401
    from submission.finetuning import loop  # noqa: F401
    from submission.transfer import settings as transfer_settings  # noqa: F401
    from submission.vae import postprocessing  # noqa: F401
    from submission.vae import settings as vae_settings  # noqa: F401

    gin_config.load(path, bindings)


def save_config(folder: Path, labels_of: Sequence[str] = ()) -> None:
    """Writes the current configuration to `folder`/config.gin.

    Args:
        folder: The experiment's folder.
        labels_of: Names of the datasets whose labels the method learns. The first line says so.
    """
    said = f"{LABELS_LINE}{', '.join(labels_of)}\n\n" if labels_of else ""
    with whole_file(folder / "config.gin") as temporary:
        temporary.write_text(said + gin_config.effective(), encoding="utf-8")


def used() -> str:
    """All parameters that the code has used until now, as gin text, with defaults.

    Settings of metrics and of fine-tuning are not part of it: a change of them needs no new
    training.
    """
    import gin

    from submission.settings import FOR_FINE_TUNING

    others = tuple(f"main.{name} = " for name in FOR_FINE_TUNING)
    lines = gin.operative_config_str(max_line_length=10_000).splitlines()
    return "\n".join(line for line in lines if not line.startswith(others))
