"""The progress bar: where somebody can see it, and nowhere else."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import sys
import termios
from typing import TYPE_CHECKING

import nbformat
import pytest
from nbclient import NotebookClient

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

PROGRAM = """
import sys
from llamad import Engine
with Engine(sys.argv[1], n_parallel=2, n_ctx=256, n_threads=1) as engine:
    prompts = ["hello"] * 20
    {call}
"""

MANY = "engine.generate(prompts, max_tokens=4, ignore_eos=True{more})"


def command(model: Path, call: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM.format(call=call), str(model)]


def on_a_terminal(model: Path, call: str) -> str:
    """What a program writes to stderr where that is a terminal."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    with subprocess.Popen(command(model, call), stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        written = b""
        with contextlib.suppress(OSError):  # EIO: nobody has the terminal open any more
            while more := os.read(ours, 65536):
                written += more
        assert process.wait(60) == 0, written.decode()
    os.close(ours)
    return written.decode()


def test_a_bar_on_a_terminal(tiny_model: Path) -> None:
    shown = on_a_terminal(tiny_model, MANY.format(more=""))
    assert "20/20" in shown
    assert "tok/s" in shown
    assert "Warning" not in shown


def test_where_nothing_is_generated_the_prompts_tell_the_speed(tiny_model: Path) -> None:
    scored = on_a_terminal(tiny_model, "engine.score('hello', [' world'] * 20)")
    assert re.search(r"[1-9][\d.]* prompt tok/s", scored)
    assert " 0.0 tok/s" not in scored


def test_a_generator_has_no_total(tiny_model: Path) -> None:
    shown = on_a_terminal(tiny_model, "engine.generate((one for one in prompts), max_tokens=4)")
    assert "20prompt" in shown
    assert "20/" not in shown


@pytest.mark.parametrize(
    "call",
    [
        MANY.format(more=", progress=False"),
        "engine.generate(prompts[0], max_tokens=4)",
        "engine.generate(prompts[:1], max_tokens=4)",
        "engine.generate([])",
        "engine.submit_batch(prompts, max_tokens=4).results()",
    ],
)
def test_no_bar_where_none_is_wanted(tiny_model: Path, call: str) -> None:
    assert on_a_terminal(tiny_model, call) == ""


@pytest.mark.parametrize(("more", "shows"), [("", False), (", progress=True", True)])
def test_into_a_file_only_on_request(tiny_model: Path, more: str, shows: bool) -> None:
    done = subprocess.run(
        command(tiny_model, MANY.format(more=more)), capture_output=True, text=True, timeout=60, check=True
    )
    assert ("20/20" in done.stderr) == shows
    assert (done.stderr == "") != shows


@pytest.mark.parametrize("widgets", [True, False])
def test_a_bar_in_a_notebook(tiny_model: Path, widgets: bool) -> None:
    cells = [
        "import sys\n" + ("" if widgets else "sys.modules['ipywidgets'] = None"),
        f"from llamad import Engine\nengine = Engine({str(tiny_model)!r}, n_ctx=256, n_threads=1)",
        MANY.format(more="").replace("prompts", "['hello'] * 20"),
        "engine.close()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    outputs = notebook.cells[2].outputs
    shown = "".join(
        output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs
    )
    assert "20/20" in (str(notebook.metadata["widgets"]) if widgets else shown)
    assert "Warning" not in shown
    mimes = {mime for output in outputs for mime in output.get("data", {})}
    assert ("application/vnd.jupyter.widget-view+json" in mimes) == widgets
    assert "text/html" in mimes  # the results themselves
