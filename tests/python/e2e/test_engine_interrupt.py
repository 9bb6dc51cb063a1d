"""Ctrl-C: it comes between any two instructions of the main thread, and must leave nothing running."""

from __future__ import annotations

import asyncio
import pickle
import signal
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

import pytest
from llamad import Batch, Engine, GenerationInterrupted, Result, SamplingParams

from tests.python.support.tiny_gguf import ENDLESS_N_CTX

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

pytestmark = pytest.mark.timeout(180)


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def test_an_interrupt_at_any_moment_leaves_nothing_running(endless_model: Path) -> None:
    main_thread = threading.main_thread().ident
    assert main_thread is not None
    previous = signal.signal(signal.SIGUSR1, _interrupt)
    try:
        with Engine(endless_model, n_parallel=1, n_ctx=ENDLESS_N_CTX, n_threads=1) as engine:
            for round_number in range(60):
                delay_s = round_number * 0.0001
                timer = threading.Timer(delay_s, signal.pthread_kill, (main_thread, signal.SIGUSR1))
                with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - it may come from the first line on
                    timer.start()
                    engine.generate(["hello", "world"], ignore_eos=True)
                timer.join()
                # One slot: an answer means that the endless requests are gone.
                assert engine.submit("hello", max_tokens=1).result(60.0).usage.completion_tokens == 1
                assert engine.stats()["running"] == 0
    finally:
        signal.signal(signal.SIGUSR1, previous)


class _InterruptAfterSubmission:
    """A native engine, at whose every acceptance of a request the main thread is interrupted."""

    def __init__(self, native: Any) -> None:
        self._native = native

    def submit(self, prepared: Any) -> int:
        request_id: int = self._native.submit(prepared)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        return request_id

    def __getattr__(self, name: str) -> Any:
        return getattr(self._native, name)


def test_an_interrupt_right_after_acceptance_cancels_the_request(endless_model: Path) -> None:
    previous = signal.signal(signal.SIGUSR1, _interrupt)
    try:
        with Engine(endless_model, n_parallel=1, n_ctx=ENDLESS_N_CTX, n_threads=1) as engine:
            native = engine._native
            engine._delivery.native = cast("Any", _InterruptAfterSubmission(native))
            with pytest.raises(KeyboardInterrupt):
                engine.generate("hello", ignore_eos=True)
            engine._delivery.native = native
            assert engine.submit("hello", max_tokens=1).result(30.0).usage.completion_tokens == 1
    finally:
        signal.signal(signal.SIGUSR1, previous)


@pytest.fixture
def interrupts() -> Iterator[Callable[[float], None]]:
    """Interrupts the main thread after some seconds; SIGUSR1, because a shell may have SIGINT ignored."""
    previous = signal.signal(signal.SIGUSR1, _interrupt)
    main_thread = threading.main_thread().ident or 0
    timers: list[threading.Timer] = []

    def interrupt(delay_s: float) -> None:
        timers.append(threading.Timer(delay_s, signal.pthread_kill, (main_thread, signal.SIGUSR1)))
        timers[-1].start()

    try:
        yield interrupt
    finally:
        for timer in timers:
            timer.join()
        signal.signal(signal.SIGUSR1, previous)


@pytest.fixture
def endless(endless_model: Path) -> Iterator[Engine]:
    with Engine(endless_model, n_parallel=2, n_ctx=ENDLESS_N_CTX, n_threads=1) as engine:
        yield engine


def test_what_there_was_is_told(endless: Engine, interrupts: Callable[[float], None]) -> None:
    params = [
        SamplingParams(max_tokens=max_tokens, ignore_eos=True) for max_tokens in (3, None, None, None, None)
    ]
    interrupts(0.5)
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


def test_what_has_not_begun_is_none(endless: Engine, interrupts: Callable[[float], None]) -> None:
    interrupts(0.3)
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
    endless: Engine, interrupts: Callable[[float], None], read: Callable[[Batch[Result]], object]
) -> None:
    batch = endless.submit_batch(["hello"] * 5, ignore_eos=True)
    interrupts(0.2)
    with pytest.raises(GenerationInterrupted):
        read(batch)
    assert endless.stats()["running"] == endless.stats()["waiting"] == 0
    assert batch.finished
    assert {result.finish_reason for result in batch.results()} == {"cancelled"}


def test_an_iterable_that_waits_does_not_hold_up_ctrl_c(
    endless: Engine, interrupts: Callable[[float], None]
) -> None:
    go_on = threading.Event()

    def prompts() -> Iterator[str]:
        yield "hello"
        go_on.wait(60.0)

    interrupts(0.2)
    with pytest.raises(GenerationInterrupted) as caught:
        endless.generate(prompts(), ignore_eos=True)
    assert len(caught.value.partial) == 1
    go_on.set()


def test_an_interrupt_inside_an_event_loop(endless: Engine, interrupts: Callable[[float], None]) -> None:
    async def cell() -> None:
        interrupts(0.2)
        with pytest.raises(GenerationInterrupted):
            endless.generate(["hello"] * 3, ignore_eos=True)
        assert len(endless.generate("world", max_tokens=2).token_ids) == 2

    asyncio.run(cell())


def test_interrupts_one_after_another_leave_a_batch_usable(
    endless: Engine, interrupts: Callable[[float], None]
) -> None:
    for round_number in range(30):
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - it may come from the first line on
            interrupts(round_number * 0.0003)
            for _ in endless.submit_batch(["hello", "world"], ignore_eos=True).as_completed():
                pass
        # Cancelled when it is dropped, where the interrupt came before anybody had it.
        assert endless.submit("hello", max_tokens=1).result(60.0).usage.completion_tokens == 1
