"""A closed engine gives its memory back, and so does one whose loading was given up."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from llamad import Engine, ModelLoadError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

PROGRAM = """
import asyncio, json, sys
from pathlib import Path
from llamad import AsyncEmbedder, Engine, ModelLoadError

def resident():
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0])

def work(path, options):
    with Engine(path, **options) as engine:
        engine.generate("Once upon a time", max_tokens=2)

def give_up(path, options):
    try:
        Engine(path, on_progress=lambda fraction: fraction < 0.5, **options)
    except ModelLoadError:
        return
    raise SystemExit("it loaded all the same")

async def embed(path):
    async with await AsyncEmbedder.load(path, n_threads=1) as embedder:
        await embedder.embed(["the cat"])

CELL = '''
with Engine(path, **options) as engine:
    results = engine.generate(["Once upon a time"] * 4, max_tokens=2)
    batch = engine.submit_batch(["Once upon a time"] * 20)
    raise ZeroDivisionError("what a cell may do")
'''

def run_cell(path, options):
    # The shell keeps the traceback, and with it the frames and their variables.
    shell = InteractiveShell.instance()
    shell.user_ns.update(Engine=Engine, path=path, options=options)
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        done = shell.run_cell(CELL)
    assert isinstance(done.error_in_exec, ZeroDivisionError), shown.getvalue()
    assert sys.last_value is done.error_in_exec

path, how, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
sizes = []
if how == "cell":
    import contextlib, io
    from IPython.core.interactiveshell import InteractiveShell
for _ in range(12):
    if how == "embed":
        asyncio.run(embed(path))
    else:
        {"work": work, "give_up": give_up, "cell": run_cell}[how](path, options)
    sizes.append(resident())
print(json.dumps(sizes))
"""


def sizes_after(path: Path, how: str, **options: Any) -> list[int]:
    """Resident kilobytes after each of twelve times."""
    command = [sys.executable, "-c", PROGRAM, str(path), how, json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def check_flat(sizes: list[int]) -> None:
    baseline, *later = sizes[1:]  # the first leaves what is made once in a process
    assert len(later) == 10
    assert max(later) < 1.1 * baseline


@pytest.mark.parametrize("how", ["work", "give_up"])
@pytest.mark.parametrize("use_mmap", [True, False])
def test_ten_times(smollm2: Path, how: str, use_mmap: bool) -> None:
    check_flat(sizes_after(smollm2, how, use_mmap=use_mmap, n_parallel=2, n_ctx=256, n_threads=1))


def test_ten_cells_that_fail(smollm2: Path) -> None:
    check_flat(sizes_after(smollm2, "cell", use_mmap=False, n_parallel=2, n_ctx=256, n_threads=1))


def test_ten_times_tiny(tiny_model: Path) -> None:
    check_flat(sizes_after(tiny_model, "work", n_parallel=4, n_ctx=2048, n_threads=1))


def test_ten_embedders(minilm: Path) -> None:
    check_flat(sizes_after(minilm, "embed"))


def test_progress_goes_from_0_to_1(smollm2: Path) -> None:
    fractions: list[float] = []

    def go_on(fraction: float) -> bool:
        fractions.append(fraction)
        return True

    with Engine(smollm2, n_ctx=64, n_parallel=1, on_progress=go_on):
        assert fractions == sorted(fractions)
        assert fractions[0] == 0.0
        assert fractions[-1] == 1.0
        assert len(fractions) > 10


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_loading_can_be_given_up(smollm2: Path, share: float) -> None:
    seen: list[float] = []

    def go_on(fraction: float) -> bool:
        seen.append(fraction)
        return fraction < share

    with pytest.raises(ModelLoadError, match="given up"):
        Engine(smollm2, n_ctx=64, n_parallel=1, on_progress=go_on)
    assert seen[-1] >= share
    assert sum(fraction >= share for fraction in seen) == 1
