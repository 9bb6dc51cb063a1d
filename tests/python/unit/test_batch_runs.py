"""Runs over files of requests: order, limits, second tries, and going on after a kill."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from llamad.batch_files.feed import Feed
from llamad.batch_files.session import default_in_flight
from llamad.errors import BatchFileError, SettingsError
from llamad.settings import Settings

from tests.python.support.batch_runs import (
    TWELVE,
    WAIT_S,
    EchoApi,
    custom_ids,
    error,
    request_line,
    run,
    write_twelve,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def requests(tmp_path: Path) -> Path:
    return write_twelve(tmp_path / "in.jsonl")


@pytest.mark.parametrize("in_flight", [1, 3, 50])
def test_every_line_is_answered_once(requests: Path, tmp_path: Path, in_flight: int) -> None:
    target, api = tmp_path / "out.jsonl", EchoApi(hold=min(in_flight, 12))
    runner = run(requests, target, api, in_flight)
    assert custom_ids(target) == TWELVE
    assert (runner.n_answered, runner.failures) == (12, {"invalid_json_line": 1})
    assert api.most == min(in_flight, 12)


def test_a_second_run_has_nothing_to_do(requests: Path, tmp_path: Path) -> None:
    target, api = tmp_path / "out.jsonl", EchoApi()
    run(requests, target, EchoApi())
    before = target.read_bytes()
    runner = run(requests, target, api)
    assert target.read_bytes() == before
    assert api.bodies == []
    assert (runner.n_answered, runner.failures) == (12, {"invalid_json_line": 1})


def test_a_run_goes_on_wherever_the_one_before_was_killed(requests: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.jsonl"
    run(requests, whole, EchoApi())
    text, target = whole.read_bytes(), tmp_path / "out.jsonl"
    # A kill leaves a beginning of the file, which may end anywhere within a line.
    for size in range(0, len(text), 29):
        target.write_bytes(text[:size])
        api = EchoApi()
        run(requests, target, api)
        assert custom_ids(target) == TWELVE, size
        assert target.read_bytes().startswith(text[: text.rfind(b"\n", 0, size) + 1]), size
        answers = [json.loads(line) for line in text[:size].splitlines(keepends=True) if line.endswith(b"\n")]
        assert len(api.bodies) == 12 - sum(answer["custom_id"] is not None for answer in answers), size


def test_requests_may_be_added_and_moved_between_runs(requests: Path, tmp_path: Path) -> None:
    target, lines = tmp_path / "out.jsonl", [request_line(f"r{i}") for i in range(6)]
    bad = ["not JSON", "not JSON", lines[0]]
    requests.write_text("\n".join([*lines[:4], *bad]), encoding="utf-8")
    run(requests, target, EchoApi())
    requests.write_text("\r\n".join([*lines[4:], "", *reversed(lines[:4]), *reversed(bad)]), encoding="utf-8")
    api = EchoApi()
    run(requests, target, api)
    assert len(api.bodies) == 2
    assert custom_ids(target) == Counter([*(f"r{i}" for i in range(6)), None, None, "r0"])


@pytest.mark.parametrize(
    "changed",
    [
        [request_line(f"other{i}") for i in range(12)],
        [request_line("r0", prompt="Bye"), *(request_line(f"r{i}") for i in range(1, 12))],
        [request_line(f"r{i}") for i in range(11)],
        [],
    ],
)
def test_answers_to_other_requests_are_refused(requests: Path, tmp_path: Path, changed: list[str]) -> None:
    target, api = tmp_path / "out.jsonl", EchoApi()
    requests.write_text("\n".join(request_line(f"r{i}") for i in range(12)), encoding="utf-8")
    run(requests, target, EchoApi(), in_flight=1)
    before = target.read_bytes()
    requests.write_text("\n".join(changed), encoding="utf-8")
    with pytest.raises(SettingsError, match=r"does not belong to .*in\.jsonl: \d+ of its answers, the first"):
        run(requests, target, api)
    assert target.read_bytes() == before
    assert api.bodies == []


def test_a_full_queue_is_no_answer(requests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llamad.batch_files.runner._PAUSES_S", (0.0, 0.001))
    busy = [error(429, "queue_full"), error(503, "queue_timeout"), error(503, "model_loading")]
    target, api = tmp_path / "out.jsonl", EchoApi(lambda number: busy[number % 3] if number <= 9 else None)
    runner = run(requests, target, api)
    assert len(api.bodies) == 12 + 9
    assert runner.n_answered == 12
    assert custom_ids(target) == TWELVE


def test_other_refusals_are_answers(requests: Path, tmp_path: Path) -> None:
    told = {1: error(400, "invalid_request"), 2: error(503, "insufficient_memory"), 3: error(500, "")}
    target, api = tmp_path / "out.jsonl", EchoApi(told.get)
    runner = run(requests, target, api)
    assert len(api.bodies) == 12
    expected = {"invalid_request": 1, "insufficient_memory": 1, "500": 1, "invalid_json_line": 1}
    assert (runner.n_answered, runner.failures) == (9, expected)
    runner = run(requests, target, EchoApi())
    assert (runner.n_answered, runner.failures) == (9, expected), "a later run counts them, too"
    good = [
        one
        for one in target.read_bytes().splitlines(keepends=True)
        if b'"response":{"status_code":200,' in one
    ]
    target.write_bytes(b"".join(good))
    api = EchoApi()
    assert run(requests, target, api).n_answered == 12
    assert len(api.bodies) == 3, "what is taken out of the answers is asked for again"


def test_lines_are_read_as_they_are_needed() -> None:
    taken: list[int] = []

    def endless() -> Iterator[int]:
        for number in range(1 << 30):
            taken.append(number)
            yield number

    async def take() -> None:
        feed = Feed(endless())
        assert [await feed.next() for _ in range(5)] == [0, 1, 2, 3, 4]

    asyncio.run(asyncio.wait_for(take(), WAIT_S))
    assert taken == [0, 1, 2, 3, 4]


def test_an_error_of_reading_ends_the_run(tmp_path: Path) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise BatchFileError("the disk is broken")

    async def take() -> None:
        feed = Feed(broken())
        assert await feed.next() == 1
        with pytest.raises(BatchFileError, match="the disk is broken"):
            await feed.next()
        assert await feed.next() is None

    asyncio.run(asyncio.wait_for(take(), WAIT_S))


@pytest.mark.parametrize(
    ("n_parallel", "max_queue", "expected"), [(4, 256, 16), (64, 256, 128), (4, 0, 4), (8, 3, 11)]
)
def test_as_many_run_at_once_as_keep_the_slots_busy(
    tmp_path: Path, n_parallel: int, max_queue: int, expected: int
) -> None:
    settings = Settings(model_directory=tmp_path, n_parallel=n_parallel, max_queue=max_queue)
    assert default_in_flight(settings) == expected
    (tmp_path / "models.toml").write_text(
        "[models.wide]\nn_parallel = 32\nmax_queue = 100\n", encoding="utf-8"
    )
    assert default_in_flight(settings) == max(expected, 64)
