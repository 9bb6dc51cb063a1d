"""Who is let in: hosts, origins, API keys and their limits, in this order.

| what is configured | what is asked of a request |
|---|---|
| any key | a key, but for `OPEN_PATHS`; browsers add none by themselves, so that is all |
| no key, a loopback address | to call the server by a name of this machine |
| no key | not to come from a page of another origin, unless `--cors-origin` lets it |
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from ..errors import SettingsError
from ..openai.errors import WireError, invalid
from .access_log import CLIENT_GONE
from .cors import Cors, Headers, is_same_origin, origin_refused
from .hosts import Hosts, is_loopback
from .keys import Keys, load_keys
from .rate_limits import OverLimitError, Quota
from .tls import load_chain, make_context

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..settings import Settings
    from .exchange import Exchange
    from .keys import Key

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/health", "/v1/health", "/docs", "/openapi.json"})
"""Need no key: they say nothing about models or users, and load balancers have no keys."""

AT_RUN_TIME = frozenset(
    {"api_key", "api_key_file", "admin_key", "cors_origin", "allowed_host"}
    | {"ssl_certfile", "ssl_keyfile", "ssl_keyfile_password"}
)
"""The settings that `Gate.prepare` takes."""

_BYTES_PER_TOKEN = 4
"""Of a request's body, for an estimate until its tokens are counted."""

_logger = logging.getLogger("llamad.server")


class Gate:
    """The rules of one server, and what each key has used of its limits. Lives on one event loop.

    Args:
        settings: who may do what.
        clock: monotonic time in seconds.

    Attributes:
        keys: the API keys there are.
        tls: what the API's connections are encrypted with; None where they are not.

    Raises:
        SettingsError: the keys, the certificate or its private key cannot be read or are not right.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._quotas: dict[str, Quota] = {}
        self._inside: dict[Exchange, tuple[Quota, float]] = {}
        self.tls = make_context(settings)
        self._use(settings, load_keys(settings))

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """Check other rules, and return what puts them in force.

        What was let in stays in then, and what keys have used is remembered.

        Raises:
            SettingsError: as at the start, or TLS was turned on or off; all stays as it was.
        """
        if (settings.ssl_certfile is None) != (self.tls is None):
            raise SettingsError("ssl_certfile: TLS cannot be turned on or off without a restart")
        keys = load_keys(settings)
        if self.tls is not None:
            make_context(settings)  # may fail, and then the files in use stay in use

        def use() -> None:
            if self.tls is not None:
                load_chain(self.tls, settings)
            self._use(settings, keys)

        return use

    def _use(self, settings: Settings, keys: Keys) -> None:
        loopback = is_loopback(settings.host)
        if not keys and not loopback:
            _logger.warning(
                "whoever reaches %s may use this server: there are no API keys (docs/security.md)",
                settings.host,
            )
        self.keys = keys
        self._cors = Cors(settings.cors_origin)
        self._hosts = Hosts(settings.allowed_host) if loopback and not keys else None
        self._quotas = {key.name: self._quotas.get(key.name) or Quota(self._clock) for key in keys}
        for key in keys:
            self._quotas[key.name].limit(key.max_requests, key.tokens_per_minute)

    def preflight(self, exchange: Exchange) -> Headers | WireError | None:
        """Answer a browser that asks what a page may do; None where this is no such question.

        Whatever the answer will be, it gets the headers that let a page see it.
        """
        exchange.extra_headers += self._cors.headers(exchange.headers)
        return self._cors.preflight(exchange.method, exchange.headers)

    def refusal(self, exchange: Exchange) -> WireError | None:
        """Let a request in, whose key is noted then, or return why not; who was let in has to leave."""
        if not self.keys:
            return self._suspicion(exchange)
        if exchange.path in OPEN_PATHS:
            return None
        key = self.find_key(exchange.headers)
        if key is None:
            exchange.extra_headers.append((b"www-authenticate", b'Bearer realm="llamad"'))
            return _NO_KEY if _presented(exchange.headers) is None else _WRONG_KEY
        exchange.key, exchange.key_name = key, key.name
        # To look what models there are costs nothing and stays possible.
        return self._over_limit(exchange, self._quotas[key.name]) if exchange.method == "POST" else None

    def find_key(self, headers: Mapping[bytes, bytes]) -> Key | None:
        """Return the key that a request brings, if it is one of ours."""
        secret = _presented(headers)
        return None if secret is None else self.keys.find(secret)

    def leave(self, exchange: Exchange) -> None:
        """Settle what a request has used that is over, let in or not."""
        if (inside := self._inside.pop(exchange, None)) is not None:
            quota, taken = inside
            quota.leave(taken, _used(exchange, taken))

    def _suspicion(self, exchange: Exchange) -> WireError | None:
        headers = exchange.headers
        if self._hosts is not None and (refused := self._hosts.refusal(headers.get(b"host"))):
            return refused
        if is_same_origin(headers) or self._cors.allows(headers[b"origin"]):
            return None
        return origin_refused(headers[b"origin"])

    def _over_limit(self, exchange: Exchange, quota: Quota) -> WireError | None:
        try:
            self._inside[exchange] = quota, quota.enter(_estimate(exchange.headers))
        except OverLimitError as over:
            wait_s = math.ceil(over.wait_s)
            message = f"{over}; try again in {wait_s} s"
            return WireError(429, "rate_limit_error", "rate_limit_exceeded", message, retry_after=wait_s)
        else:
            return None
        finally:
            exchange.extra_headers += quota.headers()


_NO_KEY = invalid(
    401, "invalid_api_key", "this server asks for an API key: send it as 'Authorization: Bearer KEY'"
)
_WRONG_KEY = invalid(401, "invalid_api_key", "the API key is not one of this server's")


def _presented(headers: Mapping[bytes, bytes]) -> bytes | None:
    """Return the key that a request brings: as OpenAI's clients send it, as Anthropic's, or as Azure's."""
    scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer":
        return token.strip()
    return headers.get(b"x-api-key", headers.get(b"api-key"))


def _estimate(headers: Mapping[bytes, bytes]) -> float:
    declared = headers.get(b"content-length", b"")
    return max(1.0, int(declared) / _BYTES_PER_TOKEN) if declared.isdigit() else 1.0


def _used(exchange: Exchange, taken: float) -> float:
    if exchange.usage is not None:
        return exchange.usage.prompt_tokens + exchange.usage.completion_tokens
    if exchange.submitted is None and exchange.status != CLIENT_GONE:
        return 0.0  # it was refused before anything was computed
    return max(taken, exchange.tokens_so_far)
