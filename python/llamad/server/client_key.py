"""Whose request it is, as far as the queue is concerned."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def client_key(headers: Mapping[bytes, bytes], user: str) -> str:
    """Return the key under which a request queues: its `Authorization` and its `user` together.

    All that say neither are one client. The key is a digest, so that no secret reaches the engine.
    """
    credentials = headers.get(b"authorization", b"")
    if not credentials and not user:
        return ""
    return hashlib.blake2b(credentials + b"\0" + user.encode(), digest_size=16).hexdigest()
