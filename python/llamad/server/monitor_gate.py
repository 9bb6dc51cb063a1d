"""Who may use the monitor: whoever reaches it, but what shows the inside of the process is for operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..openai.errors import WireError, invalid
from .hosts import Hosts, is_loopback

if TYPE_CHECKING:
    from ..settings import Settings
    from .asgi import AsgiApp, Receive, Scope, Send
    from .gate import Gate

_OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})
"""All others are closed rather than some: routes are found in more than one spelling."""


class MonitorGate:
    """An ASGI application in front of the monitor's.

    On a loopback address it is used by those on this machine, and by name so that no page in a browser gets
    there under a name of its own. On any other address all but `_OPEN_PATHS` takes an admin key.

    Args:
        app: the monitor.
        settings: tell the monitor's address, and by which names it may be called.
        gate: knows the keys.
    """

    def __init__(self, app: AsgiApp, settings: Settings, gate: Gate) -> None:
        self._app = app
        self._gate = gate
        self._hosts = Hosts(settings.allowed_host) if is_loopback(settings.monitor_host) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = self._refusal(scope)
        if refused is None:
            await self._app(scope, receive, send)
            return
        body = refused.body()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": refused.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _refusal(self, scope: Scope) -> WireError | None:
        headers = dict(scope["headers"])
        if self._hosts is not None:
            return self._hosts.refusal(headers.get(b"host"))
        if scope["path"] in _OPEN_PATHS:
            return None
        key = self._gate.find_key(headers)
        if key is not None and key.admin:
            return None
        message = "the monitor is not on a loopback address (--monitor-host), and so this takes an admin key"
        return invalid(403, "admin_key_required", message)
