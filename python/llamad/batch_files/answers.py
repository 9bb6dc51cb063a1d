"""The lines of a file of answers.

    {"id": "batch_req_…", "custom_id": "1", "error": null,
     "response": {"status_code": 200, "request_id": "req-…", "body": …}}

A request that the server refuses has its status and OpenAI's envelope as the body. A line that is no request
has no response, and an `error` with the line's number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from .lines import ID_PREFIX

if TYPE_CHECKING:
    from .in_process import Response
    from .lines import BadLine, Request

HEAD = b'{"id":"' + ID_PREFIX.encode()
"""How each line begins."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a line of requests.

    Attributes:
        id: of the line.
        failure: the code of its error; None where it was answered with status 200.
    """

    id: str
    failure: str | None


def answered(request: Request, response: Response) -> bytes:
    """Return the line for a request that the server has answered, whatever it said."""
    return _line(
        request.id,
        request.custom_id,
        {
            "status_code": response.status,
            "request_id": response.request_id,
            "body": orjson.Fragment(response.body),
        },
        None,
    )


def refused(bad: BadLine) -> bytes:
    """Return the line for what is no request."""
    error = {"code": bad.code, "message": bad.message, "param": bad.param, "line": bad.number}
    return _line(bad.id, bad.custom_id, None, error)


def read_outcome(line: bytes) -> Outcome | None:
    """Return what a line of answers tells; None where it is not one."""
    try:
        answer = orjson.loads(line)
        line_id, response = answer["id"], answer["response"]
        if not line_id.startswith(ID_PREFIX):
            return None
        if response is None:
            return Outcome(line_id, str(answer["error"]["code"]))
        return Outcome(line_id, failure(response["status_code"], response["body"]))
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError):
        return None


def failure(status: int, body: Any) -> str | None:
    """Return the code of the error that a response tells, by its status where it tells none; None for 200."""
    if status == 200:
        return None
    error = body.get("error") if isinstance(body, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return code or str(status)


def _line(line_id: str, custom_id: str | None, response: object, error: object) -> bytes:
    answer = {"id": line_id, "custom_id": custom_id, "response": response, "error": error}
    return orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE)
