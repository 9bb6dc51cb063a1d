"""The load: what is asked, and that a next turn carries the answer that was streamed."""

from __future__ import annotations

import json
import socketserver
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks import decode_rate, servers
from benchmarks.client import LoadError, answer_text
from benchmarks.load import run_load
from benchmarks.prompts import WORDS, one_token_prompts
from benchmarks.workloads import LONG_EVERY, WORKLOADS, Conversation, Workload, quick

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT_S = 30.0

SERVED = [workload for workload in WORKLOADS if isinstance(workload, Workload)]
TEXT = 'Once, "there"\n\n— was'
"""An answer with all that framing could trip over: quotes, an empty line, more than one byte a character."""


def sse(*deltas: str, usage: dict[str, Any] | None = None) -> bytes:
    events: list[dict[str, Any]] = [{"choices": [{"delta": {"role": "assistant", "content": None}}]}]
    events += [{"choices": [{"delta": {"content": delta}}]} for delta in deltas]
    events += [{"choices": [{"delta": {}, "finish_reason": "length"}]}]
    events += [{"choices": [], "usage": usage}] if usage else []
    return b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in events) + b"data: [DONE]\n\n"


def response(body: bytes, chunk_size: int = 10_000) -> bytes:
    pieces = [body[start : start + chunk_size] for start in range(0, len(body), chunk_size)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces, b""])
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks


@contextmanager
def chat_server(answer: bytes) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """A server that gives every request the same answer; yields its port and the bodies it was sent."""
    bodies: list[dict[str, Any]] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            length = 0
            while (line := self.rfile.readline()) not in {b"\r\n", b""}:
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            if length:
                bodies.append(json.loads(self.rfile.read(length)))
                self.wfile.write(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1], bodies
        finally:
            server.shutdown()
            thread.join(WAIT_S)


USAGE = {
    "prompt_tokens": 7,
    "completion_tokens": 3,
    "prompt_tokens_details": {"cached_tokens": 2},
}


@pytest.mark.parametrize("chunk_size", [1, 7, 10_000])
def test_the_answer_is_what_all_deltas_say(chunk_size: int) -> None:
    deltas = [TEXT[:3], TEXT[3:8], TEXT[8:]]
    assert answer_text(response(sse(*deltas), chunk_size)) == TEXT


def test_the_next_turn_carries_the_answer_that_was_streamed() -> None:
    conversation = Conversation({"model": "m", "max_tokens": 3}, "Be brief.", ("One?", "Two?", "Three?"))
    answer = response(sse(TEXT[:5], TEXT[5:], usage=USAGE))
    with chat_server(answer) as (port, bodies):
        traces, wall_s = run_load(port, [conversation], 1, WAIT_S)
    assert len(traces) == 1
    assert [(t.prompt_tokens, t.completion_tokens, t.cached_tokens) for t in traces[0]] == [(7, 3, 2)] * 3
    assert 0 < traces[0][0].ttft < wall_s
    assert [(m["role"], m["content"]) for m in bodies[2]["messages"]] == [
        ("system", "Be brief."),
        ("user", "One?"),
        ("assistant", TEXT),
        ("user", "Two?"),
        ("assistant", TEXT),
        ("user", "Three?"),
    ]
    assert bodies[1]["messages"] == bodies[2]["messages"][:4]
    assert bodies[2]["model"] == "m"


def test_traces_come_in_the_order_of_the_conversations() -> None:
    conversations = [Conversation({}, "", ("Hm?",) * n_turns) for n_turns in (3, 1, 2, 1)]
    with chat_server(response(sse("a", usage=USAGE))) as (port, _):
        traces, _ = run_load(port, conversations, 2, WAIT_S)
    assert [len(turns) for turns in traces] == [3, 1, 2, 1]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
        response(sse("cut")),  # no usage: nobody could say how many tokens there were
        response(sse("cut", usage=USAGE))[:-9],
    ],
    ids=["refused", "without usage", "cut short"],
)
def test_an_answer_that_is_not_complete_is_an_error(answer: bytes) -> None:
    with chat_server(answer) as (port, _), pytest.raises(LoadError):
        run_load(port, [Conversation({}, "", ("Hm?",))], 1, WAIT_S)


@pytest.mark.parametrize("workload", SERVED, ids=lambda workload: workload.name)
def test_a_seed_says_all(workload: Workload) -> None:
    first, again, other = (
        [one.body(()) for one in workload.load("m", seed)][: workload.streams] for seed in (0, 0, 1)
    )
    assert first == again
    assert set(first).isdisjoint(other)
    assert len(set(first)) == len(first)


@pytest.mark.parametrize("workload", SERVED, ids=lambda workload: workload.name)
def test_the_warm_up_is_short_and_shares_nothing_with_the_load(workload: Workload) -> None:
    warm_up = workload.warm_up("m")
    assert len(warm_up) == workload.n_slots
    assert all(len(one.turns) == 1 and not one.system for one in warm_up)
    beginnings = {" ".join(one.turns[0].split()[:3]) for one in warm_up}
    assert beginnings.isdisjoint(" ".join(one.turns[0].split()[:3]) for one in workload.load("m", 0))


def named(name: str) -> Workload:
    return next(workload for workload in SERVED if workload.name == name)


def test_one_system_prompt_is_shared_by_all() -> None:
    load = named("shared prefix").load("m", 0)
    assert len({one.system for one in load}) == 1
    assert len(load[0].system.split()) == 800
    assert len({one.turns for one in load}) == 24


def test_long_prompts_change_nothing_else() -> None:
    with_long, without = (named(name).load("m", 0) for name in ("long prompts", "no long prompts"))
    assert sum(one.is_long for one in with_long) == len(with_long) // LONG_EVERY == 3
    assert not any(one.is_long for one in without)
    assert [one.fields for one in with_long] == [one.fields for one in without]
    for changed, plain in zip(with_long, without, strict=True):
        assert changed.is_long or changed == plain
        assert not changed.is_long or len(changed.turns[0].split()) > 1500
    lengths = {one.fields["max_tokens"] for one in without}
    assert min(lengths) >= 64
    assert max(lengths) <= 128
    assert len(lengths) > 8


def test_a_quick_run_keeps_what_makes_the_workload() -> None:
    for workload in SERVED:
        short = quick(workload)
        assert isinstance(short, Workload)
        load = short.load("m", 0)
        assert any(one.is_long for one in load) == (workload.long_words > 0)
        assert (len(load[0].turns) > 1) == (workload.turns > 1)
        assert bool(load[0].system) == (workload.system_words > 0)


def argument(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


@pytest.mark.parametrize("workload", SERVED, ids=lambda workload: workload.name)
def test_both_servers_get_the_same_slots_and_context(workload: Workload) -> None:
    ours = servers.llamad(Path("models/m.gguf"), workload).command
    theirs = servers.llama_server(Path("llama-server"), Path("models/m.gguf"), workload).command
    n_slots = int(argument(theirs, "--parallel"))
    assert int(argument(ours, "--n-parallel")) == n_slots
    assert int(argument(ours, "--n-ctx")) * n_slots == int(argument(theirs, "-c"))
    assert argument(ours, "--threads") == argument(theirs, "--threads")


def test_decode_prompts_are_distinct_words() -> None:
    prompts = one_token_prompts(32)
    assert len(set(prompts)) == 32
    assert all(prompt == f" {prompt.strip()}" for prompt in prompts)
    with pytest.raises(ValueError, match=f"count={len(WORDS) + 1}"):
        one_token_prompts(len(WORDS) + 1)


def test_the_time_of_text_generation_is_read_from_the_only_result() -> None:
    line = json.dumps({"pp": 1, "tg": 16, "pl": 8, "t_pp": 0.25, "t_tg": 0.5, "speed_tg": 256.0})
    assert decode_rate.text_generation_s(f"\n{line}\n\n") == 0.5
    assert decode_rate.text_generation_s(f"{line}\n{line[:-8]}") == 0.5  # the second was cut off
    for output in ("", f"{line}\n{line}\n"):
        with pytest.raises(ValueError, match="expected one result"):
            decode_rate.text_generation_s(output)
