"""A few rounds of `make drain`: SIGTERM at random moments under load."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from benchmarks.drain import Round, ending_of, run_round

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("seed", range(5))
def test_what_was_accepted_is_answered(tiny_model: Path, tmp_path: Path, seed: int) -> None:
    result = asyncio.run(run_round(tiny_model.parent, tmp_path / "server.log", random.Random(seed)))
    assert result.faults == []


def test_faults_are_found() -> None:
    endings = {"a": "finished", "b": "unanswered", "c": "unanswered", "d": "broken: no end"}
    result = Round(endings, accepted={"a", "b", "x"}, exit_code=1)
    assert result.faults == [
        "exit code 1",
        "b was accepted and not answered",
        "d broken: no end",
        "x left a line, and nobody sent it",
    ]


@pytest.mark.parametrize(
    ("status", "text", "streamed", "ending"),
    [
        (200, '{"choices":[{}]}', False, "finished"),
        (200, 'data: {"choices":[{"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n', True, "finished"),
        (200, 'data: {"error":{}}\n\n', True, "error event"),
        (503, '{"error":{}}', True, "refused"),
        (200, 'data: {"choices":[{"finish_reason":null}]}\n\ndata: [DONE]\n\n', True, "broken"),
        (200, 'data: {"choices":[{"finish_reason":null}]}\n\n', True, "broken"),
        (200, "", True, "broken"),
        (500, '{"error":{}}', False, "broken"),
    ],
)
def test_endings(status: int, text: str, streamed: bool, ending: str) -> None:
    assert ending_of(status, text, streamed=streamed).partition(":")[0] == ending
