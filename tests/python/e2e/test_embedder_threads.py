"""`llamad.Embedder` under several threads, interrupts, a full queue, and its end."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import llamad
import numpy as np
import pytest
from llamad import Embedder

from tests.python.support.interrupts import interrupts_of_main_thread
from tests.python.support.tiny_embedders import N_CTX, write_embedder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

WAIT_S = 60.0
LONG = [[1 + i % 5 for i in range(N_CTX)]] * 4000
"""Takes seconds: it ends early only where something ends it."""


EXITING = """
import signal, sys, threading, time
from llamad import Embedder

def interrupt(*_):
    raise KeyboardInterrupt

long = [[1 + i % 5 for i in range(128)]] * 4000
embedder = Embedder(sys.argv[1], n_threads=1)
if sys.argv[2] == "running":
    threading.Thread(target=embedder.embed, args=(long,), daemon=True).start()
    while embedder.stats()["running"] == 0:
        time.sleep(0.001)
else:  # it still prepares what nobody waits for any more
    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.005)
    try:
        embedder.embed(long)
    except KeyboardInterrupt:
        pass
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_embedder("mean", tmp_path_factory.mktemp("embedder") / "mean.gguf")


def until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(WAIT_S * 1000)):
        if condition():
            return
        pause.wait(0.001)
    raise AssertionError("it did not become true in time")


def test_threads_share_a_queue_of_one_place(model: Path) -> None:
    texts = [f"the cat {'sat ' * i}" for i in range(20)]
    with Embedder(model, n_threads=1, max_queue=1) as embedder, ThreadPoolExecutor(8) as pool:
        expected = embedder.embed(texts)
        for vectors in pool.map(lambda _: embedder.embed(texts), range(24), timeout=WAIT_S):
            np.testing.assert_allclose(vectors, expected, atol=2e-3)
        assert embedder.stats()["running"] + embedder.stats()["waiting"] == 0


def test_an_interrupt_at_any_moment_leaves_nothing_running(model: Path) -> None:
    # One place: an answer means that the long request is gone.
    with interrupts_of_main_thread() as interrupts, Embedder(model, n_threads=1, max_queue=1) as embedder:
        for round_number in range(40):
            n_before = embedder.stats()["inputs"]
            with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - it may come from the first line on
                interrupts.after(round_number * 0.0005)
                embedder.embed(LONG)
            interrupts.join()
            assert len(embedder.embed(["the cat"])) == 1
            assert embedder.stats()["inputs"] - n_before < len(LONG)
        until(lambda: embedder.stats()["running"] + embedder.stats()["waiting"] == 0)


def test_closing_ends_what_runs_and_what_waits(model: Path) -> None:
    embedder = Embedder(model, n_threads=1, max_queue=1)
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(embedder.embed, LONG) for _ in range(3)]
        until(lambda: embedder.stats()["running"] == 1 and embedder.stats()["rejected"] > 0)
        embedder.close()
        for call in calls:
            with pytest.raises(llamad.EngineClosedError):
                call.result(WAIT_S)
    with pytest.raises(llamad.EngineClosedError):
        embedder.embed("a")
    embedder.close()


def test_a_request_that_takes_too_long(model: Path) -> None:
    with (
        Embedder(model, n_threads=1, request_timeout_s=0.001) as embedder,
        pytest.raises(llamad.RequestTimeoutError, match=r"0\.001 s"),
    ):
        embedder.embed(LONG)


def test_a_forgotten_embedder_frees_its_model(model: Path) -> None:
    embedder = Embedder(model, n_threads=1)
    embedder.embed("a")
    native = weakref.ref(embedder._native)
    threads = {thread for thread in threading.enumerate() if thread.name == "llamad-drain"}
    assert threads
    del embedder
    gc.collect()
    until(lambda: native() is None)
    until(lambda: not any(thread.is_alive() for thread in threads if thread.name == "llamad-drain"))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_is_told_so(model: Path) -> None:
    with Embedder(model, n_threads=1) as embedder:
        expected = embedder.embed("the cat")
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                embedder.embed("the cat")
            except llamad.EngineClosedError as error:
                code = 0 if "process" in str(error) else 2
            finally:
                embedder.close()
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        np.testing.assert_allclose(embedder.embed("the cat"), expected, atol=2e-3)


@pytest.mark.parametrize("how", ["running", "interrupted"])
def test_the_interpreter_may_exit_meanwhile(model: Path, how: str) -> None:
    for _ in range(2):
        command = [sys.executable, "-c", EXITING, str(model), how]
        done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
        assert done.returncode == 0, done.stderr
