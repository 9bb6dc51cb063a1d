"""What an engine is in its process: not to be copied, not there after a fork, and gone at the end."""

from __future__ import annotations

import asyncio
import copy
import multiprocessing
import pickle
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from llamad import AsyncEngine, Embedder, Engine, EngineClosedError, ModelLoadError

from tests.python.support.tiny_gguf import ENDLESS_N_CTX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

WAIT_S = 60.0


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[Engine]:
    with Engine(tiny_model, n_parallel=2, n_ctx=512, n_threads=1) as engine:
        yield engine


def run(program: str, *arguments: object, timeout: float = WAIT_S) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)


@pytest.mark.parametrize("how", [pickle.dumps, copy.copy, copy.deepcopy])
def test_nothing_that_is_alive_can_be_copied(engine: Engine, how: Callable[[Any], object]) -> None:
    with engine.submit_batch(["hello"], max_tokens=1) as batch:
        for thing in (engine, batch, engine.submit("hello", max_tokens=1)):
            with pytest.raises(TypeError, match=f"{type(thing).__name__} cannot be pickled or copied"):
                how(thing)


def test_results_can_be_copied(engine: Engine) -> None:
    results = engine.generate(["hello", "world"], max_tokens=2)
    assert pickle.loads(pickle.dumps(results)) == results


FORKED = """
import os, sys, warnings
from llamad import Engine, EngineClosedError
warnings.simplefilter("ignore", DeprecationWarning)
engine = Engine(sys.argv[1], n_parallel=2, n_ctx=int(sys.argv[2]), n_threads=1)
running = engine.submit("hello", ignore_eos=True)
batch = engine.submit_batch(["hello"] * 100, ignore_eos=True)
child = os.fork()
if child == 0:
    uses = {
        "generate": lambda: engine.generate("hello", max_tokens=1),
        "many": lambda: engine.generate(["hello", "world"], max_tokens=1),
        "chat": lambda: engine.chat("hello", max_tokens=1),
        "submit": lambda: engine.submit("hello", max_tokens=1),
        "submit_batch": lambda: engine.submit_batch(["hello"]),
        "stream": lambda: list(engine.stream("hello", max_tokens=1)),
        "result": lambda: running.result(),
        "wait": lambda: running.wait(),
        "iterate": lambda: list(running),
        "batch": lambda: batch.results(),
        "in order": lambda: list(batch),
        "as_completed": lambda: list(batch.as_completed()),
        "tokenize": lambda: engine.tokenize("hello"),
    }
    for name, use in uses.items():
        try:
            use()
        except EngineClosedError as error:
            assert "process" in str(error), (name, error)
        else:
            print("no error from", name, flush=True)
            os._exit(1)
    running.cancel()
    batch.cancel()
    engine.close()
    if sys.argv[3] == "exit":
        sys.exit(0)  # with all that the interpreter does at its end
    with Engine(sys.argv[1], n_parallel=1, n_ctx=64, n_threads=1) as own:
        print(len(own.generate("hello", max_tokens=3, ignore_eos=True).token_ids), flush=True)
    os._exit(0)
_, status = os.waitpid(child, 0)
assert status == 0, status
assert engine.stats()["running"] == 2
engine.close()
print("fine", flush=True)
"""


@pytest.mark.parametrize("end", ["exit", "own"])
def test_a_forked_child_is_told(endless_model: Path, end: str) -> None:
    done = run(FORKED, endless_model, ENDLESS_N_CTX, end)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("fine\n" if end == "exit" else "3\nfine\n")


def _use(engine: Engine, answers: Any) -> None:
    try:
        answers.put(engine.generate("hello", max_tokens=1).text)
    except EngineClosedError as error:
        answers.put(str(error))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_multiprocessing_by_fork(engine: Engine) -> None:
    context = multiprocessing.get_context("fork")
    answers: Any = context.SimpleQueue()
    process = context.Process(target=_use, args=(engine, answers))
    process.start()
    process.join(WAIT_S)
    assert process.exitcode == 0
    assert "forked" in answers.get()
    assert len(engine.generate("hello", max_tokens=1).token_ids) == 1


FORKED_LOOP = """
import asyncio, os, sys, warnings
from llamad import AsyncEngine, EngineClosedError
warnings.simplefilter("ignore", DeprecationWarning)

async def use(coroutine):
    try:
        await asyncio.wait_for(coroutine, 30)
    except EngineClosedError:
        return
    os._exit(1)

async def main():
    async with await AsyncEngine.load(sys.argv[1], n_parallel=1, n_ctx=64, n_threads=1) as engine:
        child = os.fork()
        if child == 0:
            asyncio._set_running_loop(None)
            asyncio.run(use(engine.generate("hello", max_tokens=1)))
            asyncio.run(use(engine.tokenize("hello")))
            asyncio.run(use(engine.close()))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0, status
        print(len((await engine.generate("hello", max_tokens=1)).token_ids))

asyncio.run(main())
"""


def test_a_forked_child_is_told_on_a_loop(tiny_model: Path) -> None:
    done = run(FORKED_LOOP, tiny_model)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


EXITS = {
    "batch": "batch = engine.submit_batch(['hello'] * 1000, ignore_eos=True)",
    "generation": "running = engine.submit('hello', ignore_eos=True)",
    "generator": """
import itertools, time
def prompts():
    yield "hello"
    time.sleep(1000)
batch = engine.submit_batch(prompts(), ignore_eos=True)
""",
    "prepare": "batch = engine.submit_batch(('hello world ' * 5000 for _ in range(1000)), max_tokens=1)",
    "thread": """
import contextlib, threading
from llamad import EngineClosedError
def work():
    with contextlib.suppress(EngineClosedError):
        engine.generate(['hello'] * 100, ignore_eos=True)
threading.Thread(target=work, daemon=True).start()
""",
    "exception": "batch = engine.submit_batch(['hello'] * 1000, ignore_eos=True)\nraise SystemExit(0)",
}


@pytest.mark.parametrize("way", EXITS)
def test_the_interpreter_ends_while_requests_run(endless_model: Path, way: str) -> None:
    program = textwrap.dedent("""
        import sys, time
        from llamad import Engine
        engine = Engine(sys.argv[1], n_parallel=2, n_ctx=int(sys.argv[2]), n_threads=1)
    """)
    program += EXITS[way].replace("raise", "time.sleep(0.2)\nraise")
    done = run(program + "\ntime.sleep(0.2)\n", endless_model, ENDLESS_N_CTX)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_interpreter_ends_after_ctrl_c(endless_model: Path) -> None:
    program = """
        import signal, sys
        from llamad import Engine
        signal.signal(signal.SIGINT, signal.default_int_handler)
        engine = Engine(sys.argv[1], n_parallel=2, n_ctx=int(sys.argv[2]), n_threads=1)

        def prompts():
            print("generating", flush=True)
            yield from ["hello"] * 1000

        engine.generate(prompts(), ignore_eos=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(endless_model), str(ENDLESS_N_CTX)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "generating\n"
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=WAIT_S)
        finally:
            process.kill()
    assert "GenerationInterrupted: 0 of " in stderr
    assert process.returncode in {1, -signal.SIGINT}


def test_two_engines_in_one_process(tiny_model: Path, endless_model: Path) -> None:
    with (
        Engine(tiny_model, n_parallel=2, n_ctx=256, n_threads=1) as one,
        Engine(endless_model, n_parallel=2, n_ctx=256, n_threads=1) as other,
    ):
        batches = [engine.submit_batch(["hello", "world"] * 10, max_tokens=4) for engine in (one, other)]
        assert [len(batch.results()) for batch in batches] == [20, 20]


def test_the_other_class_is_named(tiny_model: Path, minilm: Path) -> None:
    with pytest.raises(ModelLoadError, match="Embedder"):
        Engine(minilm)
    with pytest.raises(ModelLoadError, match="Engine"):
        Embedder(tiny_model)


def test_an_async_engine_cannot_be_pickled(tiny_model: Path) -> None:
    async def scenario() -> None:
        async with await AsyncEngine.load(tiny_model, n_parallel=1, n_ctx=64, n_threads=1) as engine:
            with pytest.raises(TypeError, match="AsyncEngine cannot be pickled or copied"):
                pickle.dumps(engine)
            with pytest.raises(TypeError, match="TokenStream cannot be pickled or copied"):
                copy.copy(await engine.stream("hello", max_tokens=1))

    asyncio.run(scenario())
