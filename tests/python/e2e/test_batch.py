"""`Batch`: many prompts of a blocking engine, read in order, as they come, in part, or not at all."""

from __future__ import annotations

import gc
import itertools
import threading
import time
import weakref
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

import llamad
import pytest
from llamad import Delta, Engine, Result, request_options
from llamad.entries import AHEAD

from tests.python.support.tiny_gguf import ENDLESS_N_CTX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)

WAIT_S = 60.0
GREEDY: dict[str, Any] = {"temperature": 0}
PROMPTS = ["hello world", "count the story", "one and two", "the system of the user"] * 5


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[Engine]:
    with Engine(tiny_model, n_parallel=4, n_ctx=512, n_threads=1) as engine:
        yield engine


@pytest.fixture
def endless(endless_model: Path) -> Iterator[Engine]:
    """Two slots that are busy until their requests are cancelled."""
    with Engine(endless_model, n_parallel=2, n_ctx=ENDLESS_N_CTX, n_threads=1) as engine:
        yield engine


def until(condition: Callable[[], bool]) -> None:
    for _ in range(int(WAIT_S / 0.01)):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("not in time")


def idle(engine: Engine) -> bool:
    stats = engine.stats()
    return bool(stats["running"] == stats["waiting"] == 0)


def test_the_ways_to_read_agree(engine: Engine) -> None:
    expected = [engine.generate(prompt, max_tokens=8, **GREEDY).text for prompt in PROMPTS]
    batch = engine.submit_batch(PROMPTS, max_tokens=8, **GREEDY)
    assert [result.text for result in batch] == expected
    assert batch.results().texts == expected
    completed = dict(batch.as_completed())
    assert [completed[index].text for index in range(len(PROMPTS))] == expected
    assert [result and result.text for result in batch.partial()] == expected
    assert batch.finished
    assert batch.n_done == len(PROMPTS)


def test_as_completed_yields_what_is_over(endless: Engine) -> None:
    params = [llamad.SamplingParams(ignore_eos=True, max_tokens=n) for n in (None, 4)]
    with endless.submit_batch(["endless", "short"], params) as batch:
        index, result = next(batch.as_completed())
        assert (index, len(result.token_ids)) == (1, 4)
        assert not batch.finished
        assert batch.partial()[0] is None
    until(lambda: batch.finished)
    partial = batch.partial()[0]
    assert partial is not None
    assert partial.finish_reason == "cancelled"
    assert partial.text == endless.detokenize(partial.token_ids)


def test_ten_thousand_prompts(engine: Engine) -> None:
    n_read = 0

    def prompts() -> Iterator[str]:
        nonlocal n_read
        for index in range(10_000):
            n_read += 1
            yield f"number {index}"

    n_ahead = 0
    for index, result in enumerate(engine.submit_batch(prompts(), max_tokens=1)):
        assert result.usage.prompt_tokens == len(engine.tokenize(f"number {index}"))
        n_ahead = max(n_ahead, engine.stats()["waiting"])
    assert n_read == 10_000
    assert n_ahead <= AHEAD  # there is room for others all the time


def test_others_find_room_beside_a_batch(endless: Engine) -> None:
    with endless.submit_batch(["hello"] * 1000, ignore_eos=True):
        until(lambda: endless.stats()["waiting"] == AHEAD)
        endless.submit("one more", max_tokens=1).cancel()


def test_an_iterable_that_raises(endless: Engine) -> None:
    def prompts() -> Iterator[str]:
        yield "hello"
        yield "world"
        raise ZeroDivisionError("in the middle")

    with pytest.raises(ZeroDivisionError, match="in the middle"):
        endless.generate(prompts(), ignore_eos=True)
    assert idle(endless)


def test_an_iterable_that_waits_does_not_hold_up_what_it_has_given(endless: Engine) -> None:
    go_on = threading.Event()

    def prompts() -> Iterator[str]:
        yield "hello"
        assert go_on.wait(WAIT_S)
        yield "world"

    batch = endless.submit_batch(prompts(), max_tokens=2, ignore_eos=True)
    results = iter(batch)
    assert len(next(results).token_ids) == 2
    go_on.set()
    assert len(next(results).token_ids) == 2
    assert list(results) == []


def test_a_batch_is_cancelled_while_its_iterable_waits(endless: Engine) -> None:
    go_on = threading.Event()

    def prompts() -> Iterator[str]:
        yield "hello"
        go_on.wait(WAIT_S)
        yield "never read"

    batch = endless.submit_batch(prompts(), ignore_eos=True)
    until(lambda: endless.stats()["running"] == 1)
    batch.cancel()
    with pytest.raises(CancelledError):
        batch.results()
    assert idle(endless)
    go_on.set()


def test_a_bad_prompt_says_which_and_cancels_the_others(endless: Engine) -> None:
    prompts: list[Any] = ["hello", "world", [10**6], "more"]
    with pytest.raises(llamad.ParameterError, match=r"^prompt 2: ") as caught:
        endless.generate(prompts, ignore_eos=True)
    assert caught.value.param == "prompts[2]"
    assert idle(endless)


def test_a_late_failure_says_which(endless: Engine) -> None:
    options = request_options.RequestOptions(timeout_s=0.2)
    with pytest.raises(llamad.RequestTimeoutError, match=r"^prompt \d: "):
        endless.generate(["hello", "world"], ignore_eos=True, options=options)
    results = endless.generate(["hello"], ignore_eos=True, options=options, return_exceptions=True)
    errors: list[object] = list(results)
    assert [type(error) for error in errors] == [llamad.RequestTimeoutError]


def test_errors_in_place_of_results(engine: Engine) -> None:
    prompts: list[Any] = ["hello", [10**6], "world"]
    results = engine.generate(prompts, max_tokens=4, return_exceptions=True)
    assert [type(result) for result in results] == [Result, llamad.ParameterError, Result]
    with pytest.raises(llamad.ParameterError):
        list(engine.submit_batch(prompts, max_tokens=4))
    told = dict(engine.submit_batch(prompts, max_tokens=4).as_completed(return_exceptions=True))
    assert [type(told[index]) for index in range(3)] == [type(result) for result in results]


def test_an_engine_that_is_closed_under_a_batch(endless_model: Path) -> None:
    engine = Engine(endless_model, n_parallel=1, n_ctx=ENDLESS_N_CTX, n_threads=1)
    batch = engine.submit_batch(["hello"] * 100, ignore_eos=True)
    until(lambda: engine.stats()["running"] == 1)
    threading.Timer(0.1, engine.close).start()
    with pytest.raises(llamad.EngineClosedError):
        batch.results()
    with pytest.raises(llamad.EngineClosedError):
        next(iter(batch))
    with pytest.raises(llamad.EngineClosedError):
        engine.generate(["hello", "world"])
    for_ever = engine.submit_batch(itertools.repeat("hello"))
    until(lambda: for_ever.finished)


def test_a_batch_that_is_dropped_is_cancelled(endless: Engine) -> None:
    batch = endless.submit_batch(["hello"] * 100, ignore_eos=True)
    until(lambda: endless.stats()["running"] == 2)
    gone = weakref.ref(batch)
    del batch
    gc.collect()
    assert gone() is None
    until(lambda: idle(endless))


def test_a_failed_batch_keeps_no_engine_alive(tiny_model: Path) -> None:
    dropped = Engine(tiny_model, n_parallel=2, n_ctx=64, n_threads=1)
    gone = weakref.ref(dropped)
    with pytest.raises(llamad.ContextLengthError):
        dropped.generate(["hello", "hello " * 100], max_tokens=2)
    with pytest.raises(llamad.RequestTimeoutError):
        dropped.generate("hello", options=request_options.RequestOptions(timeout_s=1e-6))
    del dropped
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("wrong", [None, float("nan"), "half \ud800", b"bytes"], ids=repr)
def test_one_that_is_no_prompt_is_an_error_in_its_place(engine: Engine, wrong: Any) -> None:
    prompts = ["hello", wrong, "world"]
    results = engine.generate(iter(prompts), max_tokens=2, return_exceptions=True)
    assert [type(one) for one in results] == [Result, llamad.ParameterError, Result]
    assert str(results[1]).startswith("prompts[1] must be a text")
    answers = engine.chat(prompts, max_tokens=2, return_exceptions=True)
    assert [isinstance(one, Result) for one in answers] == [True, False, True]
    with pytest.raises(llamad.ParameterError, match=r"^prompts\[1\] must be a text"):
        engine.generate(prompts, max_tokens=2)


def test_a_loop_that_is_left_can_be_taken_up_again(engine: Engine) -> None:
    batch = engine.submit_batch(PROMPTS, max_tokens=4)
    for _ in batch:
        break
    assert len(batch.results()) == len(PROMPTS)


def test_several_threads_read_one_batch(engine: Engine) -> None:
    batch = engine.submit_batch(PROMPTS * 10, max_tokens=4, **GREEDY)
    read: list[list[str]] = []
    readers = [threading.Thread(target=lambda: read.append([one.text for one in batch])) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(WAIT_S)
    assert read == [[one.text for one in batch.results()]] * 4


def test_several_threads_with_batches_of_their_own(engine: Engine) -> None:
    expected = engine.generate(PROMPTS, max_tokens=6, **GREEDY).texts
    read: list[list[str | None]] = []

    def work() -> None:
        read.append(engine.generate(PROMPTS, max_tokens=6, **GREEDY).texts)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert read == [expected] * 6


def test_reading_in_a_callback_is_refused(engine: Engine) -> None:
    batch = engine.submit_batch(PROMPTS, max_tokens=4)
    reads: list[Callable[[], object]] = [
        batch.results,
        lambda: list(batch),
        lambda: next(batch.as_completed()),
    ]
    for read in reads:

        def call(_: Delta, read: Callable[[], object] = read) -> None:
            read()

        generation = engine.submit("hello", on_token=call, max_tokens=4)
        with pytest.raises(RuntimeError, match="on_token callback cannot wait"):
            generation.result(WAIT_S)
    assert len(batch.results()) == len(PROMPTS)
