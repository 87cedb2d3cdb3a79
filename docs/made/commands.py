"""What the commands say of themselves."""

import os
import subprocess
import sys

from evaluation.common.environment import REPOSITORY


def help_of(command: str) -> str:
    """A heading and the help of `python -m command`, with paths as they are in any checkout."""
    result = subprocess.run(
        [sys.executable, "-m", *command.split(), "--help"],
        cwd=REPOSITORY,
        env=os.environ | {"COLUMNS": "88"},
        capture_output=True,
        text=True,
        check=True,
    )
    text = result.stdout.replace(f"{REPOSITORY}/", "")
    return f"## `python -m {command}`\n\n```text\n{text}```\n"
