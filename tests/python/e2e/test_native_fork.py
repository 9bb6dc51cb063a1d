"""A forked process has a copy of an engine but none of its threads: errors at once, and a clean exit."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.python.support.tiny_embedders import write_embedder

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(120)

# Ends with 0 where all went well. An endless request runs all the while, so that locks are in use.
_COMMON = """
import multiprocessing, os, signal, sys, warnings
from llamad import EngineClosedError, _engine

warnings.simplefilter("ignore", DeprecationWarning)  # of os.fork() in a process with threads, since 3.12


def check_inherited(native, calls):
    methods = {name for name in dir(type(native)) if callable(getattr(type(native), name)) and name[0] != "_"}
    assert methods == {*calls, "close"}, methods ^ {*calls, "close"}
    for name, arguments in calls.items():
        try:
            getattr(native, name)(*arguments)
        except EngineClosedError as error:
            assert "another process" in str(error), error
        else:
            raise AssertionError(name)
    assert native.closed and native.info.n_vocab > 0
    native.close()


def exit_code_of_fork(run):
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)  # rather than hang
        run()
        sys.exit(0)  # with all that the interpreter does at its end
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def exit_code_of_process(run):
    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join(60)
    return process.exitcode
"""

_ENGINE = """
params = _engine.SamplingParams(temperature=0, ignore_eos=True)
short = _engine.SamplingParams(temperature=0, max_tokens=3)


def make():
    return _engine.Engine(_engine.EngineConfig(model_path=sys.argv[1], n_parallel=2, n_ctx=0, n_threads=1))


def end_of(native, request_id):
    while True:
        assert native.wait(60.0)
        for event in native.drain():
            if event[0] == request_id and event[4]:
                return event[4].finish_reason


engine = make()
[endless] = engine.submit(engine.prepare("hello", params, stream=True))
assert engine.wait(60.0)
prepared = engine.prepare("hello", short)


def in_child():
    global engine
    calls = {"prepare": ("x", short), "prepare_chat": ("{}", short), "prepare_infill": ("x", "y", short),
             "apply_template": ("{}",), "tokenize": ("x",), "detokenize": ([1],), "token_pieces": ([1],),
             "submit": (prepared,), "cancel": (1,), "fileno": (), "drain": (), "wait": (0.0,), "wake": (),
             "stats": (), "slots": ()}
    check_inherited(engine, calls)
    del engine
    mine = make()
    [request_id] = mine.submit(mine.prepare("hello", short))
    assert end_of(mine, request_id) == "length"
    engine = mine  # and exits with an engine that nobody has closed


for run in (exit_code_of_fork, exit_code_of_process):
    assert run(in_child) == 0, run
[request_id] = engine.submit(prepared)  # nothing of it is lost here
assert end_of(engine, request_id) == "length"
engine.close()
assert engine.closed
"""

_EMBEDDER = """
def make():
    return _engine.Embedder(_engine.EmbedderConfig(model_path=sys.argv[1], n_threads=1))


embedder = make()
prepared = embedder.prepare(["hello world"])


def in_child():
    global embedder
    calls = {"prepare": (["x"],), "prepare_rerank": ("x", ["y"]), "tokenize": ("x",), "detokenize": ([1],),
             "submit": (prepared,), "cancel": (1,), "fileno": (), "drain": (), "wait": (0.0,), "wake": (),
             "stats": ()}
    check_inherited(embedder, calls)
    del embedder
    mine = make()
    mine.submit(mine.prepare(["hello world"]))
    assert mine.wait(60.0) and mine.drain()[0].finish_reason == "stop"
    embedder = mine


for run in (exit_code_of_fork, exit_code_of_process):
    assert run(in_child) == 0, run
embedder.submit(prepared)
assert embedder.wait(60.0) and embedder.drain()[0].finish_reason == "stop"
embedder.close()
"""


def _run(script: str, model: Path) -> None:
    command = [sys.executable, "-c", _COMMON + script, str(model)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr


def test_an_engine_in_a_forked_process(endless_model: Path) -> None:
    _run(_ENGINE, endless_model)


def test_an_embedder_in_a_forked_process(tmp_path: Path) -> None:
    _run(_EMBEDDER, write_embedder("mean", tmp_path / "bert.gguf"))
