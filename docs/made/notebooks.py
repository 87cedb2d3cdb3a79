"""Notebooks, run by the build, and what they show as Markdown."""

import base64
import os
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter
from nbconvert.preprocessors import ExecutePreprocessor
from traitlets.config import Config

from evaluation.common.environment import REPOSITORY

FOLDER = REPOSITORY / "docs" / "notebooks"
_LONGEST = 300
"""Seconds that one cell may take on a machine with other work."""
_NO_PORT = Config({"KernelManager": {"transport": "ipc"}})
"""The kernel is reached through files of this machine."""


def run(path: Path) -> nbformat.NotebookNode:
    """The notebook with the outputs of its cells.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised an error.
    """
    notebook = nbformat.read(path, as_version=4)
    # The kernel imports the kit from this checkout, whatever its own folder is.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(REPOSITORY)
    try:
        executed, _ = ExecutePreprocessor(config=_NO_PORT, timeout=_LONGEST).preprocess(
            notebook, {"metadata": {"path": str(REPOSITORY)}}
        )
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return executed


def shown(name: str) -> str:
    """A notebook as a page shows it: its text, its code and what the code printed and drew."""
    path = FOLDER / name
    body, resources = MarkdownExporter().from_notebook_node(run(path))
    for file, content in resources["outputs"].items():
        # Pictures stand in the page, so that the build leaves no file behind.
        data = base64.b64encode(content).decode("ascii")
        body = body.replace(
            f"![png]({file})", f"![What the code above draws](data:image/png;base64,{data})"
        )
    return body
