"""Pages of other origins in browsers: which may use the API, and how their browsers are told (CORS)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..openai.errors import WireError, invalid
from .hosts import host_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_EXPOSED = (
    b"x-request-id, openai-processing-ms, retry-after, www-authenticate, "
    b"x-ratelimit-limit-requests, x-ratelimit-remaining-requests, "
    b"x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens"
)
_METHODS = b"GET, POST, OPTIONS"
_FRESH_S = b"600"
"""How long a browser need not ask again. Chrome takes two hours at most; a change should show before."""

_HEADER_NAMES = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, \t-]{1,4096}")

Headers = list[tuple[bytes, bytes]]


class Cors:
    """What browsers are told.

    Nobody is allowed credentials: keys come in a header that the page itself sets, and there are no
    cookies. So `*` gives a page no more than any other program has.

    Args:
        origins: `https://chat.example.org` and the like in lower case, or `*` for all.
    """

    def __init__(self, origins: Sequence[str] = ()) -> None:
        self._all = "*" in origins
        self._origins = frozenset(origin.encode() for origin in origins)

    def allows(self, origin: bytes) -> bool:
        """Say whether pages of this origin may use the API."""
        return self._all or origin.lower() in self._origins

    def headers(self, request: Mapping[bytes, bytes]) -> Headers:
        """Return what goes with the answer to a request, errors included."""
        if not self._origins:
            return []
        headers = [] if self._all else [(b"vary", b"origin")]
        origin = request.get(b"origin")
        if origin is not None and self.allows(origin):
            allowed = b"*" if self._all else origin
            headers += [
                (b"access-control-allow-origin", allowed),
                (b"access-control-expose-headers", _EXPOSED),
            ]
        return headers

    def preflight(self, method: str, request: Mapping[bytes, bytes]) -> Headers | WireError | None:
        """Answer a browser that asks what a page may do; None where this is no such question.

        Returns:
            What goes with the answer, besides `headers`, or why the origin may not.
        """
        asked = method == "OPTIONS" and b"origin" in request and b"access-control-request-method" in request
        if not asked or not self._origins:
            return None
        if not self.allows(request[b"origin"]):
            return origin_refused(request[b"origin"])
        headers = [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-max-age", _FRESH_S),
            (b"vary", b"access-control-request-headers, access-control-request-private-network"),
        ]
        # Named one by one, since `*` does not cover Authorization; clients add headers of their own.
        wanted = request.get(b"access-control-request-headers", b"")
        if _HEADER_NAMES.fullmatch(wanted):
            headers.append((b"access-control-allow-headers", wanted))
        if request.get(b"access-control-request-private-network") == b"true":
            headers.append((b"access-control-allow-private-network", b"true"))
        return headers


def origin_refused(origin: bytes) -> WireError:
    """Return what a page of another origin is told that may not use the API."""
    shown = origin[:100].decode("latin-1")
    message = f"pages of {shown!r} may not use this server; --cors-origin would let them"
    return invalid(403, "origin_not_allowed", message)


def is_same_origin(request: Mapping[bytes, bytes]) -> bool:
    """Say whether the page that asks came from this very server, or no page asks at all.

    The scheme is left aside: in front of the server there may be somebody who speaks TLS. Where that one
    also changes the `Host`, the word of newer browsers is left, which no page can write.
    """
    origin = request.get(b"origin")
    if origin is None or request.get(b"sec-fetch-site") == b"same-origin":
        return True
    asked = request.get(b"host", b"").lower()
    return bool(host_of(asked)) and origin.lower().partition(b"://")[2] == asked
