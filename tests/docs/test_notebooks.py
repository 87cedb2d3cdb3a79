"""The notebooks run, and are kept without what they print."""

from pathlib import Path

import pytest

REASON = "nbconvert is missing: ./local_eval.sh docs --build"
nbformat = pytest.importorskip("nbformat", reason=REASON)
pytest.importorskip("nbconvert", reason=REASON)
pytest.importorskip("ipykernel", reason=REASON)

from docs.made import notebooks  # noqa: E402 - it needs what may be missing


@pytest.mark.parametrize("name", ["five-lines.ipynb", "factor-vae-and-mig.ipynb"])
def test_a_notebook_runs_and_keeps_no_output(name: str) -> None:
    path = notebooks.FOLDER / name
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)
    page = notebooks.shown(name)
    assert cells[0].source in page
    assert "mig        0." in page or "MIG 0." in page, "what a cell printed"
    assert page.count("data:image/png") == ("plt." in page)


def test_a_cell_that_fails_stops_the_build(tmp_path: Path) -> None:
    cell = nbformat.v4.new_code_cell("1 / 0")
    path = tmp_path / "bad.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    with pytest.raises(Exception, match="ZeroDivisionError"):
        notebooks.run(path)
