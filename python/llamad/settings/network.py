"""Where the server listens, and what a connection may be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import kinds
from .kinds import setting

_GROUP = "network"


@dataclass(frozen=True)
class NetworkSettings:
    """Where the server listens, and what a connection may be."""

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
    ssl_certfile: Path | None = setting(  # noqa: RUF009 - it makes a field
        _GROUP,
        kinds.optional_file(),
        "certificate chain in PEM: the API speaks HTTPS",
        default=None,
        aliases=("--ssl-cert-file",),
    )
    ssl_keyfile: Path | None = setting(  # noqa: RUF009 - it makes a field
        _GROUP,
        kinds.optional_file(),
        "its private key in PEM, where that is in a file of its own",
        default=None,
        aliases=("--ssl-key-file",),
    )
    ssl_keyfile_password: str = setting(
        _GROUP,
        kinds.secret(header=False),
        "of the private key, where that is encrypted; other users of the machine see flags",
        default="",
    )
    max_connections: int = setting(
        _GROUP,
        kinds.integer(1, 1 << 20),
        "connections to the API at once; more are answered 503",
        default=1024,
    )
    header_timeout: float = setting(
        _GROUP,
        kinds.seconds(zero=False),
        "how long the head of a request may take before it is answered 408",
        default=10.0,
        unit="s",
    )
    max_header_kib: int = setting(
        _GROUP,
        kinds.integer(1, 1 << 10),
        "largest head of a request; larger ones are answered 431",
        default=64,
        unit="KiB",
    )
