"""Where the server listens."""

from __future__ import annotations

from dataclasses import dataclass

from . import kinds
from .kinds import setting

_GROUP = "network"


@dataclass(frozen=True)
class NetworkSettings:
    """Where the server listens."""

    host: str = setting(_GROUP, kinds.host(), "address of the API", default="127.0.0.1")
    port: int = setting(
        _GROUP, kinds.integer(0, 65535), "port of the API; 0 takes any free one", default=8080
    )
    monitor_host: str = setting(_GROUP, kinds.host(), "address for monitoring", default="127.0.0.1")
    monitor_port: int = setting(
        _GROUP,
        kinds.integer(-1, 65535),
        "port for monitoring; 0 takes any free one, -1 turns it off",
        default=9090,
    )
