"""Where what clients of other servers ask for is to be found here."""

from __future__ import annotations

_CHAT = "POST /v1/chat/completions answers conversations"
_MONITOR = "it is on the monitor's port (--monitor-port)"

_PATHS = {
    "/": "GET /docs describes this API",
    "/v1": "GET /docs describes this API",
    "/metrics": _MONITOR,
    "/v1/metrics": _MONITOR,
    "/slots": "GET /debug/slots of the monitor's port (--monitor-port) tells it",
    "/props": "GET /v1/models tells it",
    "/version": "llamad --version tells it",
    "/ping": "GET /health tells it",
    "/completion": "POST /v1/completions continues texts",
    "/completions": "POST /v1/completions continues texts",
    "/infill": "POST /v1/completions with a suffix fills gaps",
    "/embedding": "POST /v1/embeddings embeds texts",
    "/v1/responses": _CHAT,
    "/v1/messages": _CHAT,
}

_PREFIXES = {
    "/v1/v1/": "the base URL ends in /v1 already",
    "/api/": "clients of Ollama's API need OpenAI's, which begins with /v1",
}


def hint(path: str) -> str:
    """Return "; …", what to ask for instead of a path that is not there, or "" where nothing is known."""
    for prefix, text in _PREFIXES.items():
        if path.startswith(prefix):
            return f"; {text}"
    return f"; {_PATHS[path]}" if path in _PATHS else ""
