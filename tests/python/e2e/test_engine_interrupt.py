"""Ctrl-C: it comes between any two instructions of the main thread, and must leave nothing running."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest
from llamad import Engine

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
            engine._delivery._native = cast("Any", _InterruptAfterSubmission(native))
            with pytest.raises(KeyboardInterrupt):
                engine.generate("hello", ignore_eos=True)
            engine._delivery._native = native
            assert engine.submit("hello", max_tokens=1).result(30.0).usage.completion_tokens == 1
    finally:
        signal.signal(signal.SIGUSR1, previous)
