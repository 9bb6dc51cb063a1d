"""The engine thread needs no GIL: it computes on while Python holds on to it."""

from __future__ import annotations

import ctypes
import sys
import time
from typing import TYPE_CHECKING

import pytest
from llamad import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from llamad import Delta

MAX_TOKENS = 200
HOLD_S = 60.0
_nap = ctypes.PyDLL(None).usleep  # unlike CDLL, PyDLL keeps the GIL during the call


@pytest.fixture
def held_gil() -> Iterator[None]:
    """Only what gives up the GIL of itself lets another thread run."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(2 * HOLD_S)
    yield
    sys.setswitchinterval(before)


def test_a_generation_ends_while_python_holds_the_gil(tiny_model: Path, held_gil: None) -> None:
    calls: list[Delta] = []
    with Engine(tiny_model, n_parallel=1, n_ctx=512, n_threads=1) as engine:
        generation = engine.submit(
            "hello", on_token=calls.append, max_tokens=MAX_TOKENS, temperature=0, ignore_eos=True
        )
        before, deadline = len(calls), time.monotonic() + HOLD_S
        while engine.stats()["finished_length"] == 0 and time.monotonic() < deadline:
            _nap(1000)
        assert engine.stats()["generated_tokens"] == MAX_TOKENS
        assert len(calls) == before, "nothing was delivered, for that needs the GIL"

        result = generation.result(HOLD_S)
        assert result.usage.completion_tokens == MAX_TOKENS
        assert sum(len(delta.token_ids) for delta in calls) == MAX_TOKENS
        # One drain may have been under way; all that came since is one delta.
        assert len(calls) - before <= 2
