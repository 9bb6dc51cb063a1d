"""Whose request it is, as far as the queue is concerned."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .exchange import Exchange


def client_key(exchange: Exchange, user: str) -> str:
    """Return the key under which a request queues: the API key's name and its `user` together.

    Where no key is asked for, what the client sends as its `Authorization` stands for the name. All that
    say neither are one client. The key is a digest, so that no secret reaches the engine.
    """
    name = (
        exchange.headers.get(b"authorization", b"")
        if exchange.key_name is None
        else exchange.key_name.encode()
    )
    if not name and not user:
        return ""
    return hashlib.blake2b(name + b"\0" + user.encode(), digest_size=16).hexdigest()
