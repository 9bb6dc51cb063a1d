"""Files of requests: what is read from which line, and what is told of it."""

from __future__ import annotations

import io
import json
from typing import Any

import orjson
import pytest
from llamad.batch_files.answers import Outcome, answered, read_outcome, refused
from llamad.batch_files.in_process import Response
from llamad.batch_files.lines import BadLine, Line, Request, read_lines

MIB = 1 << 20


def line(custom_id: Any = "a", **changes: Any) -> bytes:
    fields = {"custom_id": custom_id, "method": "POST", "url": "/v1/completions", "body": {"model": "m"}}
    fields |= changes
    return json.dumps({name: value for name, value in fields.items() if value is not ...}).encode()


def read(*lines: bytes, end: bytes = b"\n", max_body_bytes: int = MIB) -> list[Line]:
    return list(read_lines(io.BytesIO(end.join(lines)), max_body_bytes))


def bad(text: bytes) -> BadLine:
    (found,) = read(text)
    assert isinstance(found, BadLine)
    return found


@pytest.mark.parametrize("url", ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/rerank"])
def test_a_request_keeps_its_body(url: str) -> None:
    body = {"model": "m", "prompt": "grüß\n𝄞", "temperature": 0.1, "stream": False, "logit_bias": {"1": 2}}
    (request,) = read(line("id-1", url=url, body=body))
    assert isinstance(request, Request)
    assert (request.custom_id, request.url) == ("id-1", url)
    assert orjson.loads(request.body) == body


@pytest.mark.parametrize(
    ("text", "code", "param", "said"),
    [
        (b"nonsense", "invalid_json_line", None, "the line is not valid JSON"),
        (b"[1]", "invalid_json_line", None, "the line must be a JSON object, not an array"),
        (b'{"custom_id": "a"', "invalid_json_line", None, "the line is not valid JSON"),
        (b'{"custom_id": "\xff"}', "invalid_json_line", None, "not valid UTF-8: byte 0xff"),
        (b'{"a": 1, "a": 2}', "invalid_json_line", "a", "'a' is given twice"),
        (
            line(body={}).replace(b"{}", b'{"n": 1, "n": 2}'),
            "invalid_json_line",
            "body.n",
            "'body.n' is given",
        ),
        (line(...), "missing_required_parameter", "custom_id", "'custom_id' is required"),
        (line(7), "invalid_custom_id", "custom_id", "'custom_id' must be a string that is not empty"),
        (line(""), "invalid_custom_id", "custom_id", "'custom_id' must be a string that is not empty"),
        (line(method=...), "missing_required_parameter", "method", "'method' is required"),
        (line(method="GET"), "invalid_method", "method", "must be POST, not 'GET'"),
        (line(url=...), "missing_required_parameter", "url", "'url' is required"),
        (line(url="/v1/responses"), "invalid_url", "url", "not '/v1/responses'"),
        (line(url=["/v1/completions"]), "invalid_url", "url", "must be one of /v1/chat/completions"),
        (line(body=...), "missing_required_parameter", "body", "'body' is required"),
        (line(body="text"), "invalid_body", "body", "'body' must be an object"),
        (
            line(body={"stream": True}),
            "stream_not_supported",
            "body.stream",
            "an answer of a batch is one line",
        ),
    ],
)
def test_a_line_that_is_no_request_says_why(text: bytes, code: str, param: str | None, said: str) -> None:
    found = bad(text)
    assert (found.code, found.param, found.number) == (code, param, 1)
    assert said in found.message
    assert found.message.startswith("line 1: ")


def test_bad_lines_have_their_number_and_the_custom_id_where_there_is_one() -> None:
    found = read(line("a"), b"", b"what?", line("b", method="PUT"), b"   ", line("c"))
    assert [type(one) for one in found] == [Request, BadLine, BadLine, Request]
    nonsense, put = found[1], found[2]
    assert isinstance(nonsense, BadLine)
    assert isinstance(put, BadLine)
    assert (nonsense.number, nonsense.custom_id) == (3, None)
    assert (put.number, put.custom_id) == (4, "b")


def test_the_first_of_several_lines_with_one_custom_id_counts() -> None:
    same = line("a")
    first, second, third = read(same, same, line("a", url="/v1/embeddings"))
    assert isinstance(first, Request)
    assert isinstance(second, BadLine)
    assert isinstance(third, BadLine)
    assert (second.code, second.custom_id, second.param) == ("duplicate_custom_id", "a", "custom_id")
    assert len({first.id, second.id, third.id}) == 3


def test_ids_tell_lines_apart_and_are_the_same_in_every_run() -> None:
    lines = [line("a"), line("b"), line("a", body={"model": "n"})]
    ids = [read(one)[0].id for one in lines]
    assert len(set(ids)) == 3
    assert [read(one, end=b"\r\n")[0].id for one in lines] == ids
    assert read(b"", b" " + lines[0] + b" \r\n")[0].id == ids[0], "a request may move"
    assert [one.id for one in read(b"?", b"?")] == [one.id for one in read(b"?", b"?")]
    first, second = read(b"?", b"?")
    assert first.id != second.id, "bad lines are told apart by how many came before"
    assert [one.id for one in read(b"!", b"?", line("a"), b"?")[1::2]] == [first.id, second.id], (
        "they may move"
    )


def test_a_line_that_is_too_long_is_passed_over() -> None:
    long = line("long", body={"prompt": "x" * 3 * MIB})
    first, second, third = read(line("a"), long, line("b"), max_body_bytes=MIB)
    assert isinstance(second, BadLine)
    assert (second.code, second.number, second.custom_id) == ("line_too_long", 2, None)
    assert isinstance(first, Request)
    assert isinstance(third, Request)
    assert third.custom_id == "b"
    assert read(long[:-2] + b"y}", max_body_bytes=MIB)[0].id != read(long, max_body_bytes=MIB)[0].id
    assert isinstance(read(long, max_body_bytes=4 * MIB)[0], Request)


def test_an_answer_is_one_line_that_can_be_read_back() -> None:
    (request,) = read(line("ä\n"))
    assert isinstance(request, Request)
    written = answered(request, Response(200, "req-1", b'{"object":"text_completion"}'))
    assert written.endswith(b"\n")
    assert written.count(b"\n") == 1
    assert json.loads(written) == {
        "id": request.id,
        "custom_id": "ä\n",
        "response": {"status_code": 200, "request_id": "req-1", "body": {"object": "text_completion"}},
        "error": None,
    }
    assert read_outcome(written) == Outcome(request.id, None)


def test_a_refused_request_keeps_its_status_and_envelope() -> None:
    (request,) = read(line())
    assert isinstance(request, Request)
    body = b'{"error":{"message":"no","type":"invalid_request_error","param":null,"code":"model_not_found"}}'
    written = answered(request, Response(404, "req-2", body))
    told = json.loads(written)
    assert told["response"]["status_code"] == 404
    assert told["response"]["body"] == json.loads(body)
    assert told["error"] is None
    assert read_outcome(written) == Outcome(request.id, "model_not_found")


def test_a_bad_line_is_told_with_its_number() -> None:
    found = bad(b"{}")
    written = refused(found)
    assert json.loads(written) == {
        "id": found.id,
        "custom_id": None,
        "response": None,
        "error": {
            "code": "missing_required_parameter",
            "message": "line 1: 'custom_id' is required",
            "param": "custom_id",
            "line": 1,
        },
    }
    assert read_outcome(written) == Outcome(found.id, "missing_required_parameter")


@pytest.mark.parametrize(
    "text",
    [
        b"nonsense\n",
        b"[]\n",
        b"{}\n",
        b'{"id": 7, "response": null, "error": {"code": "x"}}\n',
        b'{"id": "other", "response": null, "error": {"code": "x"}}\n',
        b'{"id": "batch_req_1", "response": null, "error": null}\n',
        b'{"id": "batch_req_1", "response": {"body": {}}}\n',
    ],
)
def test_what_is_no_answer_is_not_taken_for_one(text: bytes) -> None:
    assert read_outcome(text) is None
