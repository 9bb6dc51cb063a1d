"""Server-sent events: the few bytes around a JSON document."""

from __future__ import annotations

DATA = b"data: "
END = b"\n\n"
DONE = b"data: [DONE]\n\n"


def event(payload: bytes) -> bytes:
    """Frame one JSON document, which must be a single line."""
    return DATA + payload + END
