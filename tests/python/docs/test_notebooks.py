"""The notebooks run from top to bottom, and what is committed of them is what they show."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
MOST_BYTES = 200_000
"""A notebook that weighs more has an image that is too large."""

Notebook = dict[str, Any]


def read(folder: Path, name: str) -> Notebook:
    notebook: Notebook = json.loads((folder / f"{name}.ipynb").read_text())
    return notebook


def kinds(notebook: Notebook) -> list[list[str]]:
    """What each cell has shown: text, tables, images, errors, but not what they say."""
    return [
        [" ".join([output["output_type"], *sorted(output.get("data", {}))]) for output in cell["outputs"]]
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


def test_there_are_five() -> None:
    assert NAMES == ["batch_labelling", "embeddings_search", "evaluation", "quick_start", "tuning_slots"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NAMES)
def test_runs_and_shows_what_is_committed(name: str, named_models: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / "execute.py"), str(FOLDER / f"{name}.ipynb")]
    # Compute threads that wait would otherwise spin, and take the processor from the tests beside this one.
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    ran = subprocess.run(
        [*command, "--model-directory", str(named_models), "--output", str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert kinds(read(tmp_path, name)) == kinds(read(FOLDER, name)), "make notebooks saves what they show now"


@pytest.mark.parametrize("name", NAMES)
def test_committed_form(name: str) -> None:
    notebook = read(FOLDER, name)
    text = json.dumps(notebook)
    assert len(text) < MOST_BYTES
    assert not re.search(r"/(home|root|tmp|Users|work|mnt|opt)/|0x[0-9a-f]{8}", text)
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    for number, cell in enumerate(notebook["cells"], start=1):
        assert cell["id"] == f"cell-{number}"
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == [n + 1 for n in range(len(code))]
    for output in (output for cell in code for output in cell["outputs"]):
        assert output["output_type"] in {"stream", "display_data", "execute_result"}
        assert output.get("name", "stdout") == "stdout"
