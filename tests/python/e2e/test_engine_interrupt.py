"""Ctrl-C: it comes between any two instructions of the main thread, and must leave nothing running."""

from __future__ import annotations

import asyncio
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

import pytest
from llamad import Batch, Engine, GenerationInterrupted, Result, SamplingParams

from tests.python.support.interrupts import Interrupts, interrupts_of_main_thread
from tests.python.support.tiny_gguf import ENDLESS_N_CTX

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    with interrupts_of_main_thread() as interrupts:
        yield interrupts


def test_an_interrupt_at_any_moment_leaves_nothing_running(
    endless_model: Path, interrupts: Interrupts
) -> None:
    with Engine(endless_model, n_parallel=1, n_ctx=ENDLESS_N_CTX, n_threads=1) as engine:
        for round_number in range(60):
            with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - it may come from the first line on
                interrupts.after(round_number * 0.0001)
                engine.generate(["hello", "world"], ignore_eos=True)
            interrupts.join()
            # One slot: an answer means that the endless requests are gone.
            assert engine.submit("hello", max_tokens=1).result(60.0).usage.completion_tokens == 1
            assert engine.stats()["running"] == 0


class _InterruptAfterSubmission:
    """A native engine, at whose every acceptance of a request the main thread is interrupted."""

    def __init__(self, native: Any, interrupts: Interrupts) -> None:
        self._native = native
        self._interrupts = interrupts

    def submit(self, prepared: Any) -> int:
        request_id: int = self._native.submit(prepared)
        self._interrupts.now()
        return request_id

    def __getattr__(self, name: str) -> Any:
        return getattr(self._native, name)


def test_an_interrupt_right_after_acceptance_cancels_the_request(
    endless_model: Path, interrupts: Interrupts
) -> None:
    with Engine(endless_model, n_parallel=1, n_ctx=ENDLESS_N_CTX, n_threads=1) as engine:
        native = engine._native
        engine._delivery.native = cast("Any", _InterruptAfterSubmission(native, interrupts))
        with pytest.raises(KeyboardInterrupt):
            engine.generate("hello", ignore_eos=True)
        engine._delivery.native = native
        assert engine.submit("hello", max_tokens=1).result(30.0).usage.completion_tokens == 1


@pytest.fixture
def endless(endless_model: Path) -> Iterator[Engine]:
    with Engine(endless_model, n_parallel=2, n_ctx=ENDLESS_N_CTX, n_threads=1) as engine:
        yield engine


def at_work(engine: Engine, running: int, waiting: int) -> bool:
    stats = engine.stats()
    return (stats["running"], stats["waiting"]) == (running, waiting)


def test_what_there_was_is_told(endless: Engine, interrupts: Interrupts) -> None:
    params = [
        SamplingParams(max_tokens=max_tokens, ignore_eos=True) for max_tokens in (3, None, None, None, None)
    ]
    # One is over, two have slots and have said something, and two wait.
    interrupts.when(lambda: at_work(endless, 2, 2) and endless.stats()["generated_tokens"] > 10)
    with pytest.raises(GenerationInterrupted, match="of 5 were done") as caught:
        endless.generate(["a", "b", "c", "d", "e"], params)
    first, *others = caught.value.partial
    assert first is not None
    assert (first.finish_reason, len(first.token_ids)) == ("length", 3)
    cut = [one for one in others if one is not None]
    assert len(cut) == 4  # also what waited for a slot has been accepted
    assert {one.finish_reason for one in cut} == {"cancelled"}
    for one in cut:
        assert one.text == endless.detokenize(one.token_ids)
    assert sum(len(one.token_ids) for one in cut) > 0
    assert pickle.loads(pickle.dumps(caught.value)).partial == caught.value.partial
    assert endless.stats()["running"] == endless.stats()["waiting"] == 0


def test_what_has_not_begun_is_none(endless: Engine, interrupts: Interrupts) -> None:
    interrupts.when(lambda: endless.stats()["running"] == 2)
    with pytest.raises(GenerationInterrupted) as caught:
        endless.generate(["hello"] * 500, ignore_eos=True)
    partial = caught.value.partial
    assert len(partial) == 500
    assert partial[-1] is None
    assert partial[0] is not None


@pytest.mark.parametrize(
    "read",
    [list, lambda batch: list(batch.as_completed()), lambda batch: batch.results()],
    ids=["in order", "as completed", "results"],
)
def test_every_way_of_reading_can_be_interrupted(
    endless: Engine, interrupts: Interrupts, read: Callable[[Batch[Result]], object]
) -> None:
    batch = endless.submit_batch(["hello"] * 5, ignore_eos=True)
    interrupts.when(lambda: at_work(endless, 2, 3))
    with pytest.raises(GenerationInterrupted):
        read(batch)
    assert endless.stats()["running"] == endless.stats()["waiting"] == 0
    assert batch.finished
    assert {result.finish_reason for result in batch.results()} == {"cancelled"}


def test_an_iterable_that_waits_does_not_hold_up_ctrl_c(endless: Engine, interrupts: Interrupts) -> None:
    go_on = threading.Event()

    def prompts() -> Iterator[str]:
        yield "hello"
        go_on.wait(60.0)

    interrupts.when(lambda: at_work(endless, 1, 0))
    with pytest.raises(GenerationInterrupted) as caught:
        endless.generate(prompts(), ignore_eos=True)
    assert len(caught.value.partial) == 1
    go_on.set()


def test_an_interrupt_inside_an_event_loop(endless: Engine, interrupts: Interrupts) -> None:
    async def cell() -> None:
        interrupts.when(lambda: at_work(endless, 2, 1))
        with pytest.raises(GenerationInterrupted):
            endless.generate(["hello"] * 3, ignore_eos=True)
        assert len(endless.generate("world", max_tokens=2).token_ids) == 2

    asyncio.run(cell())


def test_interrupts_one_after_another_leave_a_batch_usable(endless: Engine, interrupts: Interrupts) -> None:
    for round_number in range(30):
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - it may come from the first line on
            interrupts.after(round_number * 0.0003)
            for _ in endless.submit_batch(["hello", "world"], ignore_eos=True).as_completed():
                pass
        # Cancelled when it is dropped, where the interrupt came before anybody had it.
        assert endless.submit("hello", max_tokens=1).result(60.0).usage.completion_tokens == 1
