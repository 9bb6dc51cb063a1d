"""The draining thread of `llamad.Engine`: what callbacks may do there, and when it ends."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from llamad import Delta, Engine

from tests.python.support.tiny_gguf import ENDLESS_N_CTX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

WAIT_S = 60.0
GREEDY: dict[str, Any] = {"temperature": 0}


@pytest.fixture
def engine(tiny_model: Path) -> Iterator[Engine]:
    with Engine(tiny_model, n_parallel=2, n_ctx=256, n_threads=1) as engine:
        yield engine


def test_a_callback_that_exits_fails_its_own_request(endless_model: Path) -> None:
    with Engine(endless_model, n_parallel=1, n_ctx=ENDLESS_N_CTX, n_threads=1) as engine:
        generation = engine.submit("hello", on_token=lambda _: sys.exit(3), ignore_eos=True)
        with pytest.raises(SystemExit):
            generation.result(WAIT_S)
        assert engine.submit("world", max_tokens=4, ignore_eos=True).result(WAIT_S).finish_reason == "length"


@pytest.mark.parametrize(
    "wait",
    [
        lambda engine: engine.generate("world", max_tokens=4),
        lambda engine: engine.chat([{"role": "user", "content": "world"}], max_tokens=4),
        lambda engine: engine.submit("world", max_tokens=4).result(),
        lambda engine: engine.submit("world", max_tokens=4).wait(WAIT_S),
        lambda engine: list(engine.stream("world", max_tokens=4)),
    ],
    ids=["generate", "chat", "result", "wait", "stream"],
)
def test_a_callback_that_waits_for_a_generation_is_refused(
    engine: Engine, wait: Callable[[Engine], object]
) -> None:
    generation = engine.submit("hello", on_token=lambda _: wait(engine), max_tokens=4)
    with pytest.raises(RuntimeError, match="on_token callback cannot wait"):
        generation.result(WAIT_S)
    assert engine.submit("hello", max_tokens=4, **GREEDY).result(WAIT_S).usage.completion_tokens == 4


def test_a_callback_may_submit_and_read_what_is_over(engine: Engine) -> None:
    over = engine.submit("world", max_tokens=4, **GREEDY)
    expected = over.result(WAIT_S)
    seen: list[object] = []

    def look(_: Delta) -> None:
        seen.append(over.result())
        seen.append(engine.submit("world", max_tokens=4, **GREEDY))

    engine.submit("hello", on_token=look, max_tokens=1).result(WAIT_S)
    result, submitted = seen
    assert result == expected
    assert submitted.result(WAIT_S).text == expected.text  # type: ignore[attr-defined]


def ended(thread: threading.Thread) -> bool:
    gc.collect()
    thread.join(WAIT_S)
    return not thread.is_alive()


def test_an_engine_that_is_dropped_frees_its_model(tiny_model: Path) -> None:
    engine = Engine(tiny_model, n_parallel=1, n_ctx=256, n_threads=1)
    assert engine.generate("hello", max_tokens=4, **GREEDY).usage.completion_tokens == 4
    native, thread = weakref.ref(engine._native), engine._delivery._thread
    del engine
    assert ended(thread)
    gc.collect()
    assert native() is None


def test_an_engine_that_is_dropped_finishes_what_runs(tiny_model: Path) -> None:
    engine = Engine(tiny_model, n_parallel=1, n_ctx=256, n_threads=1)
    thread = engine._delivery._thread
    generation = engine.submit("hello", max_tokens=100, ignore_eos=True)
    del engine
    assert len(generation.result(WAIT_S).token_ids) == 100
    assert ended(thread)
