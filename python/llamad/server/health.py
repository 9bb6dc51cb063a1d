"""Is the process alive, and are requests welcome? Answered without waiting for anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from .routing import json_response

if TYPE_CHECKING:
    from blacksheep import Response

    from .state import ServerState

OK = b'{"status":"ok"}'


def stalled(state: ServerState) -> dict[str, float]:
    """Return the models whose engine hangs, and for how many seconds.

    An engine hangs when it has work and its thread has finished nothing, not even a part of a prompt, for
    longer than the state's `stall_timeout_s`.
    """
    silent = {model: engine.stats()["busy_s"] for model, engine in state.engines().items()}
    return {model: seconds for model, seconds in silent.items() if seconds > state.stall_timeout_s}


def healthz(state: ServerState) -> Response:
    """Say that the process is alive: its event loop turns, and no engine hangs. If one does, 503."""
    hanging = stalled(state)
    if hanging:
        told = {"status": "stalled", "models": {model: round(hanging[model], 1) for model in sorted(hanging)}}
        return json_response(503, orjson.dumps(told))
    return json_response(200, OK)


def is_ready(state: ServerState) -> bool:
    """Return whether new requests are welcome."""
    return state.ready and not state.draining


def readyz(state: ServerState) -> Response:
    """Say whether new requests are welcome: models preloaded, not draining. If not, 503."""
    if is_ready(state):
        return json_response(200, b'{"status":"ready"}')
    return json_response(503, b'{"status":"draining"}' if state.draining else b'{"status":"loading"}')
