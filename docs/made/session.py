"""The page Start: its commands are run in a fresh clone, and the page shows what they print.

A block of commands that the line `{output}` follows is run, and its output stands there. A command
that fails is an error of the build.
"""

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

from evaluation.common import environment
from evaluation.common.files import write_json
from evaluation.origin import versions

PAGE = "start.md"

_BLOCK = re.compile(r"^```bash\n(?P<commands>(?:(?!```).*\n)*)```\n\n\{output\}$", re.MULTILINE)
_LONGEST = 600
"""Seconds that one command may take on a machine with other work."""


def with_outputs(markdown: str) -> str:
    """The page with each `{output}` replaced by what the commands above it print.

    Raises:
        RuntimeError: a command failed.
    """
    blocks = commands_of(markdown)
    outputs = iter(outputs_of(blocks))

    def shown(block: re.Match[str]) -> str:
        return f"```bash\n{block['commands']}```\n\n```text\n{next(outputs)}```"

    return _BLOCK.sub(shown, markdown)


def commands_of(markdown: str) -> list[str]:
    """The command blocks of the page that are run, in order."""
    return [block["commands"] for block in _BLOCK.finditer(markdown)]


def outputs_of(blocks: list[str]) -> list[str]:
    """What the blocks of commands print, each run by bash in one fresh clone of what is committed.

    What was printed before is shown again while commands, code and packages are the same.

    Raises:
        RuntimeError: a command failed.
    """
    trees = [_git("rev-parse", f"HEAD:{folder}") for folder in ("evaluation", "submission")]
    kept = environment.SCRATCH / "docs" / "start.json"
    made_from = {"blocks": blocks, "trees": trees, "versions": versions()}
    if kept.exists():
        content = json.loads(kept.read_text(encoding="utf-8"))
        if content["made_from"] == made_from:
            return list(content["outputs"])
    outputs = _run(blocks)
    kept.parent.mkdir(parents=True, exist_ok=True)
    write_json(kept, {"made_from": made_from, "outputs": outputs})
    return outputs


def _run(blocks: list[str]) -> list[str]:
    outputs = []
    with tempfile.TemporaryDirectory(prefix="start-") as folder:
        clone = Path(folder) / "kit"
        _git("clone", "--quiet", "--shared", str(environment.REPOSITORY), str(clone))
        (clone / ".venv").symlink_to(environment.REPOSITORY / ".venv")
        (clone / ".git/info/exclude").write_text(".venv\n", encoding="utf-8")
        for commands in blocks:
            result = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", commands],
                cwd=clone,
                # Images that this checkout has rendered are not rendered again.
                env=os.environ
                | {"DISENTANGLEMENT_LIB_DATA": str(environment.data_root()), "COLUMNS": "88"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=_LONGEST,
                check=False,
            )
            if result.returncode != 0:
                raise RuntimeError(f"docs/{PAGE}: {commands}{result.stdout}")
            outputs.append(_without_progress(result.stdout).replace(str(clone), "~/kit"))
    return outputs


def _without_progress(printed: str) -> str:
    """Lines of progress are there only where a machine is slow."""
    lines = printed.splitlines(keepends=True)
    return "".join(line for line in lines if not re.match(r"[\w ]+: [\d,]+ of [\d,]+", line))


def _git(*arguments: str) -> str:
    result = subprocess.run(
        ["git", "-C", str(environment.REPOSITORY), *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.strip()
