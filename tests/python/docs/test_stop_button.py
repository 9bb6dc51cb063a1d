"""A notebook's stop button: what runs is cancelled, what there was is kept, and the engine goes on."""

from __future__ import annotations

import ast
import os
import tempfile
from typing import TYPE_CHECKING, Any

import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from tests.python.support.tiny_gguf import ENDLESS_N_CTX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from jupyter_client.blocking.client import BlockingKernelClient

CELL_TIMEOUT_S = 60
LOAD = """
import sys
from llamad import Engine
engine = Engine({path!r}, n_parallel=2, n_ctx={n_ctx}, n_threads=1)
"""
# The first prompt is over at once; the others would go on for minutes. All have been read when it says so.
GENERATE = """
from llamad import SamplingParams
short, long = (SamplingParams(max_tokens=n, ignore_eos=True) for n in (1, {n_long}))
def prompts():
    yield from ["the cat"] * 6
    print("all read", flush=True)
engine.generate(prompts(), [short] + [long] * 5)
"""


class Notebook:
    """Cells that are executed one after the other in a kernel of this interpreter."""

    def __init__(self, manager: KernelManager) -> None:
        self.manager = manager
        self.client: BlockingKernelClient = manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=CELL_TIMEOUT_S)

    def execute(self, code: str, *, stop_at: str | None = None) -> tuple[str, dict[str, Any]]:
        """Return what a cell has printed, and its reply; press stop once it prints `stop_at`."""
        printed = ""

        def hook(message: dict[str, Any]) -> None:
            nonlocal printed
            if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
                printed += message["content"]["text"]
                if stop_at is not None and stop_at in printed:
                    self.manager.interrupt_kernel()

        reply = self.client.execute_interactive(code, timeout=CELL_TIMEOUT_S, output_hook=hook)
        return printed, reply["content"]


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    # Not in pytest's folder: a socket's path may have little more than a hundred characters.
    with tempfile.TemporaryDirectory() as scratch:
        specs = KernelSpecManager(kernel_dirs=[])
        manager = KernelManager(kernel_spec_manager=specs, transport="ipc", ip=f"{scratch}/kernel")
        manager.start_kernel(env={**os.environ, "IPYTHONDIR": scratch})
        try:
            notebook = Notebook(manager)
            yield notebook
            notebook.client.stop_channels()
        finally:
            manager.shutdown_kernel(now=True)


def test_stop_cancels_and_keeps_what_there_is(notebook: Notebook, endless_model: Path) -> None:
    assert notebook.execute(LOAD.format(path=str(endless_model), n_ctx=ENDLESS_N_CTX))[1]["status"] == "ok"
    _, reply = notebook.execute(GENERATE.format(n_long=ENDLESS_N_CTX - 64), stop_at="all read")
    assert (reply["status"], reply["ename"]) == ("error", "GenerationInterrupted")
    printed, _ = notebook.execute("print([one and one.finish_reason for one in sys.last_value.partial])")
    reasons = ast.literal_eval(printed)
    assert len(reasons) == 6
    assert set(reasons) <= {"length", "cancelled", None}
    assert "length" not in reasons[1:]
    printed, reply = notebook.execute(
        "print(engine.generate('the cat', max_tokens=3).usage.completion_tokens)"
    )
    assert (printed, reply["status"]) == ("3\n", "ok")
    assert notebook.execute("engine.close()")[1]["status"] == "ok"
