"""Execute the notebooks of this folder, and save what they showed: `make notebooks`.

What is saved is what the cells have shown: no versions, no times of execution, no progress bars, and cell
ids that count. So `git diff` shows what came out differently, and nothing else.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nbformat import NotebookNode

FOLDER = Path(__file__).parent
CELL_TIMEOUT_S = 240
"""Longest that one cell may take; on an idle machine with two cores a whole notebook takes less than 20 s."""

_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_IMAGE = "image/png"


def notebooks() -> list[Path]:
    """Return the notebooks of this folder, sorted."""
    return sorted(FOLDER.glob("*.ipynb"))


def execute(path: Path, environment: Mapping[str, str]) -> NotebookNode:
    """Run a notebook from top to bottom in a fresh kernel of this interpreter.

    Args:
        path: the notebook; it is left as it is.
        environment: of the kernel.

    Returns:
        The notebook with the outputs of this run, normalised.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell has raised.
        nbclient.exceptions.CellTimeoutError: a cell has taken longer than `CELL_TIMEOUT_S`.
    """
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as scratch:
        # Without folders to look in, what is left is the kernel of this interpreter, whatever the user has
        # installed; and sockets in a folder of our own, where nobody else listens.
        manager = AsyncKernelManager(
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[]), transport="ipc", ip=f"{scratch}/kernel"
        )
        client = NotebookClient(
            notebook,
            km=manager,
            timeout=CELL_TIMEOUT_S,
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": str(FOLDER)}},
        )
        # No start-up files and no history of the user's.
        client.execute(cleanup_kc=True, env={**environment, "IPYTHONDIR": scratch})
    return normalised(notebook)


def normalised(notebook: NotebookNode) -> NotebookNode:
    """Return the notebook with nothing in it that another run would change without a reason."""
    notebook.metadata = nbformat.from_dict(_METADATA)
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{number}"
        cell.metadata = nbformat.from_dict({})
        if cell.cell_type == "code":
            cell.outputs = [kept for output in cell.outputs if (kept := _normalised_output(output))]
    nbformat.validate(notebook)
    return notebook


def _normalised_output(output: NotebookNode) -> NotebookNode | None:
    """Return an output as it is to be kept, or None for progress bars and other noise on stderr."""
    if output.output_type == "stream":
        return output if output.name == "stdout" else None
    if output.output_type == "error":
        return output
    if any("widget" in kind for kind in output.data):
        return None
    if _IMAGE in output.data:  # `<Figure size 640x480 with 1 Axes>` says nothing beside the image
        output.data.pop("text/plain", None)
    output.metadata = nbformat.from_dict({})
    return output


def save(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook as `nbformat` does, with one line feed at the end."""
    path.write_text(nbformat.writes(notebook).rstrip("\n") + "\n")


def main() -> None:
    """Execute the notebooks named on the command line, or all, and save them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("notebook", nargs="*", type=Path, help="default: all in this folder")
    parser.add_argument("--model-directory", help="where models are, and are fetched to")
    parser.add_argument("--output", type=Path, help="folder to save to; default: in place")
    arguments = parser.parse_args()
    environment = dict(os.environ)
    if arguments.model_directory:
        environment["LLAMAD_MODEL_DIRECTORY"] = str(Path(arguments.model_directory).resolve())
    for path in arguments.notebook or notebooks():
        started = time.monotonic()
        save(execute(path, environment), (arguments.output or path.parent) / path.name)
        print(f"{path.name}: {time.monotonic() - started:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
