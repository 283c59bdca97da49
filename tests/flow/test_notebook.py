"""docs/example.ipynb runs from its first cell to its last, and leaves nothing behind."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "example.ipynb"


@pytest.fixture
def quiet(tmp_path, monkeypatch):
    """A home without the user's settings, and the command on the path."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "TMPDIR"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    return tmp_path


def shown(cell):
    """Return what a cell printed, and whether it showed a picture."""
    text = "".join(o.get("text", "") for o in cell.outputs)
    return text, any("image/png" in o.get("data", {}) for o in cell.outputs)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_example_notebook_runs(quiet):
    book = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(book, timeout=120, resources={"metadata": {"path": str(quiet)}})
    client.execute()
    outputs = [shown(cell) for cell in book.cells if cell.cell_type == "code"]
    text = "".join(said for said, _ in outputs)
    assert '"voxel_size": no such field' in text
    assert "COMPLETE ('z 7" in text
    assert "report: file://" in text
    assert ": sound" in text
    assert sum(picture for _, picture in outputs) == 2
    assert [p.name for p in (quiet / "TMPDIR").iterdir()] == []


def test_it_is_kept_without_outputs():
    book = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [(c.outputs, c.execution_count) for c in code] == [([], None)] * len(code)
    assert NOTEBOOK.stat().st_size < 20_000
