"""`llamad batch`: what it writes, that it can be killed and interrupted, and answers as the server does."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from openai.types import Completion, CreateEmbeddingResponse
from openai.types.batch_error import BatchError
from openai.types.chat import ChatCompletion
from openai.types.shared import ErrorObject

from tests.python.support.batch_command import (
    TIMEOUT_S,
    answers,
    batch_command,
    counted,
    run_batch,
    write_requests,
)
from tests.python.support.server_process import REQUEST_TIMEOUT_S, wait_until
from tests.python.support.tiny_embedders import write_embedder
from tests.python.support.tiny_gguf import ENDLESS_N_CTX

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.python.support.server_process import ServerProcess

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
EMBEDDINGS, RERANK = "/v1/embeddings", "/v1/rerank"

ENDLESS = ("endless", COMPLETIONS, {"model": "endless", "prompt": "a", "max_tokens": ENDLESS_N_CTX // 2})
"""A request that is not answered before its model is gone."""


def chat(model: str, text: str, **options: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}], "temperature": 0} | options


def by_id(path: Path) -> dict[str | None, dict[str, Any]]:
    return {answer["custom_id"]: answer for answer in answers(path)}


def content(answer: Mapping[str, Any]) -> str:
    assert answer["response"]["status_code"] == 200, answer
    completion = ChatCompletion.model_validate(answer["response"]["body"], strict=True)
    return completion.choices[0].message.content or ""


def test_answers_of_all_kinds_are_what_openai_s_package_reads(tiny_model: Path, tmp_path: Path) -> None:
    models, source, target = tmp_path / "models", tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    models.mkdir()
    shutil.copy(tiny_model, models)
    write_embedder("mean", models / "vectors.gguf")
    write_embedder("rank", models / "ranks.gguf")
    write_requests(
        source,
        [
            ("chat", CHAT, chat("tiny", "Hi", max_tokens=8)),
            ("text", COMPLETIONS, {"model": "tiny", "prompt": ["a", "b"], "max_tokens": 4}),
            ("vectors", EMBEDDINGS, {"model": "vectors", "input": ["one", "two"]}),
            ("ranking", RERANK, {"model": "ranks", "query": "one", "documents": ["two", "one"]}),
            ("unknown", CHAT, chat("tinny", "Hi")),
            ("wrong", CHAT, chat("tiny", "Hi", temperature=-1)),
            ("kind", EMBEDDINGS, {"model": "tiny", "input": "one"}),
            ("streamed", CHAT, chat("tiny", "Hi", stream=True)),
        ],
    )
    with source.open("a", encoding="utf-8") as file:
        file.write("nonsense\n")
    ended = run_batch(models, source, target)
    assert ended.returncode == 1
    assert b"4 answered, 5 failed" in ended.stderr
    assert ended.stdout == b""
    told = by_id(target)
    assert len({answer["id"] for answer in told.values()}) == len(told) == 9
    assert len(content(told["chat"])) > 0
    text = Completion.model_validate(told["text"]["response"]["body"], strict=True)
    assert [choice.index for choice in text.choices] == [0, 1]
    vectors = CreateEmbeddingResponse.model_validate(told["vectors"]["response"]["body"], strict=True)
    assert len(vectors.data) == 2
    assert len(told["ranking"]["response"]["body"]["results"]) == 2
    for name, status, code in (
        ("unknown", 404, "model_not_found"),
        ("wrong", 400, "invalid_request"),
        ("kind", 400, "invalid_request"),
    ):
        assert told[name]["error"] is None
        assert told[name]["response"]["status_code"] == status
        assert told[name]["response"]["request_id"].startswith("req-")
        assert ErrorObject.model_validate(told[name]["response"]["body"]["error"], strict=True).code == code
    for bad, line, code in (("streamed", 8, "stream_not_supported"), (None, 9, "invalid_json_line")):
        assert told[bad]["response"] is None
        error = BatchError.model_validate(told[bad]["error"], strict=True)
        assert (error.line, error.code) == (line, code)


def test_lines_are_answered_as_the_server_answers_them(
    tiny_model: Path, tiny_server: ServerProcess, tmp_path: Path
) -> None:
    asked = {
        "chat": (CHAT, chat("tiny", "Hello", max_tokens=12, logprobs=True, top_logprobs=2)),
        "schema": (CHAT, chat("tiny", "x", max_tokens=40, response_format={"type": "json_object"})),
        "prompts": (COMPLETIONS, {"model": "tiny", "prompt": ["a", "b"], "temperature": 0, "max_tokens": 4}),
        "range": (CHAT, chat("tiny", "Hi", top_p=7)),
        "empty": (CHAT, {"model": "tiny", "messages": []}),
        "missing": (CHAT, {"messages": [{"role": "user", "content": "Hi"}]}),
        "unknown": (EMBEDDINGS, {"model": "none", "input": "a"}),
        "kind": (RERANK, {"model": "tiny", "query": "a", "documents": ["b"]}),
        "long": (CHAT, chat("tiny", "word " * 2000)),
    }
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write_requests(source, [(name, url, body) for name, (url, body) in asked.items()])
    assert run_batch(tiny_model.parent, source, target, "--concurrency", "1").returncode == 1
    told = by_id(target)
    for name, (url, body) in asked.items():
        status, served = post(tiny_server.url + url, body)
        response = told[name]["response"]
        assert response["status_code"] == status, name
        assert comparable(response["body"]) == comparable(served), name


def post(url: str, body: Mapping[str, Any]) -> tuple[int, Any]:
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=REQUEST_TIMEOUT_S) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def comparable(body: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is new in every answer, and what the server still had in its cache."""
    same = {key: value for key, value in body.items() if key not in {"id", "created"}}
    if "usage" in same:
        same["usage"] = {**same["usage"], "prompt_tokens_details": None}
    return same


def test_a_run_that_is_killed_again_and_again_answers_every_line_once(smollm2: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    model, names = smollm2.stem, [f"r{number}" for number in range(20)]
    write_requests(source, [(name, CHAT, chat(model, f"Say {name}.", max_tokens=8)) for name in names])
    with source.open("a", encoding="utf-8") as file:
        file.write("nonsense\n")
    chance, kept, lines = random.Random(6), b"", []
    for attempt in range(5):
        kill_within(
            batch_command(smollm2.parent, source, target, "--n-parallel", "2"),
            target,
            size=len(kept) + chance.randrange(1, 2000) if attempt % 2 == 0 else None,
            after_s=chance.uniform(0.0, 2.0),
        )
        held = target.read_bytes()
        assert held.startswith(kept), "what was written stays as it is"
        kept = held[: held.rfind(b"\n") + 1]
        lines.append(kept.count(b"\n"))
        # What a kill could leave as well, though the system seldom takes a part of a line.
        target.write_bytes(kept + b'{"id":"batch_req_'[: chance.randrange(18)])
    assert lines == sorted(lines)
    assert any(0 < number < 21 for number in lines), "it was killed in the middle of the file"
    ended = run_batch(smollm2.parent, source, target, "--n-parallel", "2")
    assert ended.returncode == 1, ended.stderr
    assert b"20 answered, 1 failed (1 invalid_json_line)" in ended.stderr
    assert counted(target) == Counter([*names, None])
    assert target.read_bytes().startswith(kept)
    told = by_id(target)
    assert all(content(told[name]) for name in names)


def kill_within(command: list[str], target: Path, *, size: int | None, after_s: float) -> None:
    """Run a command until its target has reached a size, or, without one, for so long, and kill it then."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        if size is None:
            process.wait(after_s)
        else:
            wait_until(
                lambda: process.poll() is not None or (target.exists() and target.stat().st_size >= size),
                f"{target.name} with {size} bytes",
            )
    except subprocess.TimeoutExpired:
        pass
    finally:
        process.kill()
        process.wait(TIMEOUT_S)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_what_is_done_and_says_how_to_go_on(
    tiny_model: Path, endless_model: Path, tmp_path: Path, number: signal.Signals
) -> None:
    models, source, target = tmp_path / "models", tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    models.mkdir()
    shutil.copy(tiny_model, models)
    shutil.copy(endless_model, models)
    short = [(f"s{number}", CHAT, chat("tiny", "Hi", max_tokens=2)) for number in range(4)]
    write_requests(source, [ENDLESS, *short])
    process = subprocess.Popen(
        batch_command(models, source, target, "--n-ctx", "0"),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        wait_until(lambda: target.exists() and target.read_bytes().count(b"\n") == 4, "four answers")
        process.send_signal(number)
        _, said = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert b"interrupted" in said
    assert b"4 answered, 0 failed" in said
    assert b"run the same command again to go on" in said
    assert b"Traceback" not in said
    assert counted(target) == Counter(name for name, _, _ in short)


def test_two_runs_on_one_output_do_not_mix(endless_model: Path, tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write_requests(source, [ENDLESS])
    first = subprocess.Popen(
        batch_command(endless_model.parent, source, target, "--n-ctx", "0"), stderr=subprocess.DEVNULL
    )
    try:
        wait_until(target.exists, "the output")
        # It locks the file a moment after it has made it.
        wait_until(lambda: is_refused(endless_model.parent, source, target), "a refusal")
    finally:
        first.kill()
        first.wait(TIMEOUT_S)


def is_refused(models: Path, source: Path, target: Path) -> bool:
    try:
        ended = subprocess.run(
            batch_command(models, source, target), capture_output=True, timeout=20.0, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return ended.returncode == 2 and b"another run is writing to" in ended.stderr


def test_it_is_a_filter_too(tiny_model: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    write_requests(source, [(f"r{n}", CHAT, chat("tiny", "Hi", max_tokens=2)) for n in range(5)])
    ended = run_batch(tiny_model.parent, "-", "-", given=source.read_bytes())
    assert ended.returncode == 0
    told = [json.loads(line) for line in ended.stdout.splitlines()]
    assert {answer["custom_id"] for answer in told} == {f"r{n}" for n in range(5)}
    assert all(content(answer) for answer in told)
    assert b"5 answered, 0 failed" in ended.stderr


def test_input_that_never_ends_can_be_interrupted(tiny_model: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    process = subprocess.Popen(
        batch_command(tiny_model.parent, "-", target), stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stderr is not None
    with process.stdin, process.stderr:
        try:
            body = chat("tiny", "Hi", max_tokens=2)
            request = {"custom_id": "a", "method": "POST", "url": CHAT, "body": body}
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            wait_until(lambda: target.exists() and target.read_bytes().endswith(b"\n"), "an answer")
            process.send_signal(signal.SIGINT)
            assert process.wait(TIMEOUT_S) == 130
        finally:
            process.kill()
        assert b"1 answered" in process.stderr.read()
