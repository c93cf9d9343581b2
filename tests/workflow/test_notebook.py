"""The notebook runs, cell by cell, on a finished experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest

from .conftest import REPOSITORY

pytestmark = pytest.mark.workflow

NOTEBOOK = REPOSITORY / "workflow" / "notebooks" / "experiment.ipynb"


def test_every_cell_runs(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # they would be of somebody's machine
    names: dict[str, Any] = {}
    for cell in (cell for cell in notebook.cells if cell.cell_type == "code"):
        source = cell.source
        if "parameters" in cell.metadata.get("tags", []):
            source = 'folder = "results/smoke"'
        exec(compile(source, f"{NOTEBOOK.name}:{cell.id}", "exec"), names)
    assert isinstance(names["fid"], pd.DataFrame)
    assert names["samples"].shape[1:] == names["real"].shape[1:] == (1, 28, 28)
    lines = plt.figure(plt.get_fignums()[0]).axes[0].get_legend_handles_labels()[1]
    assert lines == names["study"].runs["run"].tolist()
    plt.close("all")
