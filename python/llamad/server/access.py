"""What a request that was let in may do: for the endpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UnknownModelError
from ..openai.errors import invalid
from .hosts import is_loopback
from .limits import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..models.entries import ModelEntry
    from .exchange import Exchange
    from .state import Models

_FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-real-ip")
"""With one of these, a proxy on this machine speaks for somebody who may be anywhere."""


def require_admin(exchange: Exchange) -> None:
    """Check that a request may do what operators do.

    That takes an admin key. Where there are no keys at all, whoever is on this machine may.

    Raises:
        RefusedError: it may not (403).
    """
    if exchange.key is not None:
        if exchange.key.admin:
            return
        message = "this takes an admin key, which this API key is not"
    else:
        proxied = any(name in exchange.headers for name in _FORWARDED)
        if not proxied and exchange.peer is not None and is_loopback(exchange.peer):
            return
        message = "this takes an admin key, and without any key (--admin-key) works from this machine only"
    raise RefusedError(invalid(403, "admin_key_required", message))


async def require_model(exchange: Exchange, models: Models, name: str) -> None:
    """Check that a request may use the model of this name, before it is asked for.

    A key for some models is told of the others neither that they are there nor that they are not.

    Raises:
        RefusedError: its key is not for this model (403, with OpenAI's code).
        UnknownModelError: the key could use it, but there is none; told are those that it may use.
    """
    key = exchange.key
    if key is None or key.unrestricted:
        return
    # One that is not there may have come since somebody looked.
    meant = _called(name, models.entries()) or _called(name, await models.read_entries())
    if not all(key.may_use(names) for names in meant or [(name,)]):
        shown = name if len(name) <= 60 else name[:60] + "…"
        message = f"this API key is not for the model {shown!r}; GET /v1/models lists those that it may use"
        raise RefusedError(invalid(403, "model_not_found", message, "model"))
    if not meant:
        raise UnknownModelError(name, [one.id for one in visible(exchange, models.entries())])


def visible(exchange: Exchange, entries: Iterable[ModelEntry]) -> list[ModelEntry]:
    """Return the models that a request may know of."""
    key = exchange.key
    return [entry for entry in entries if key is None or key.may_use(_names(entry))]


def _called(name: str, entries: Iterable[ModelEntry]) -> list[tuple[str, ...]]:
    return [_names(entry) for entry in entries if name in _names(entry)]


def _names(entry: ModelEntry) -> tuple[str, ...]:
    return (entry.id, *entry.aliases)
