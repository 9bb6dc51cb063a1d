"""The line that each request leaves in the log: who asked what, what it cost, and how it ended.

| outcome | the request |
|---|---|
| ok | was answered; of a generation: it came to an end |
| length | was answered as far as the limit of tokens or the context went |
| cancelled | lost its client |
| timeout | took too long: in the queue, in all, or to send its body |
| stopped | had been let in when the server was told to end |
| refused | was not let in: 401, 403, 429, 503 |
| invalid | was wrong: any other 4xx |
| error | failed, and the log says why |

The line holds no prompt, no answer, no API key and no header but a well-formed `x-request-id`.
"""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .exchange import Exchange

Outcome = Literal["ok", "length", "cancelled", "timeout", "stopped", "refused", "invalid", "error"]

CLIENT_GONE = 499
"""Logged, never sent: the client closed the connection before it was answered (nginx's number)."""

_REFUSED = (401, 403, 429, 503)

_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")
_LONGEST_LOGGED = 128

_logger = logging.getLogger("llamad.access")


def write(exchange: Exchange) -> None:
    """Log a request that is over."""
    if _logger.isEnabledFor(logging.INFO):
        _logger.info("request", extra={"fields": _fields(exchange)})


def outcome_of(exchange: Exchange) -> Outcome:
    """Return how a request that is over has ended."""
    error, status = exchange.error, exchange.status
    if status == CLIENT_GONE:
        return "cancelled"
    if error is not None:
        if error.code == "server_stopping" and exchange.let_in:
            return "stopped"
        if error.type == "timeout_error" or error.code == "queue_timeout":
            return "timeout"
        status = error.status  # that of a stream's last event is not the one that was sent
    if status in _REFUSED:
        return "refused"
    if not 200 <= status < 500:
        return "error"
    if status >= 400:
        return "invalid"
    return "length" if "length" in exchange.finish_reasons else "ok"


def _fields(exchange: Exchange) -> dict[str, object]:
    usage, timings = exchange.usage, exchange.timings
    return {
        "request_id": exchange.request_id,
        "key": exchange.key_name,
        "method": printable(exchange.method),
        "path": printable(exchange.path),
        "status": exchange.status,
        "outcome": outcome_of(exchange),
        "model": None if exchange.model is None else printable(exchange.model),
        "prompt_tokens": None if usage is None else usage.prompt_tokens,
        "cached_tokens": None if usage is None else usage.cached_tokens,
        "completion_tokens": None if usage is None else usage.completion_tokens,
        "queue_ms": None if timings is None else _ms(timings.queue_s),
        "ttft_ms": None if exchange.ttft_s is None else _ms(exchange.ttft_s),
        "duration_ms": _ms(time.perf_counter() - exchange.started),
        "trace_id": exchange.trace_id,
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 1)


def printable(text: str) -> str:
    """Make a client's text fit for a log: it can neither break the line nor drive a terminal."""
    return _UNPRINTABLE.sub("?", text[:_LONGEST_LOGGED])
