"""How long and how large things may be, and what requests may bring."""

from __future__ import annotations

from dataclasses import dataclass

from . import kinds
from .kinds import setting

_GROUP = "limits"


@dataclass(frozen=True)
class LimitSettings:
    """How long and how large things may be, and what requests may bring."""

    max_queue: int = setting(
        _GROUP, kinds.integer(0), "requests that may wait for a slot; more are answered 429", default=256
    )
    queue_timeout: float = setting(
        _GROUP,
        kinds.seconds(zero=True),
        "how long a request may wait for a slot; 0 is no limit",
        default=0.0,
        unit="s",
    )
    request_timeout: float = setting(
        _GROUP,
        kinds.seconds(zero=True),
        "how long a request may take in all; 0 is no limit",
        default=0.0,
        unit="s",
    )
    max_body_mib: int = setting(
        _GROUP, kinds.integer(1, 4096), "largest request body", default=16, unit="MiB"
    )
    read_timeout: float = setting(
        _GROUP,
        kinds.seconds(zero=False),
        "how long a client may send nothing of a request's body that has begun before it is answered 408",
        default=60.0,
        unit="s",
    )
    max_unread_kib: int = setting(
        _GROUP,
        kinds.integer(1, 1 << 20),
        "generated text that may wait for a client to read; a slower client is disconnected",
        default=256,
        unit="KiB",
    )
    write_timeout: float = setting(
        _GROUP,
        kinds.seconds(zero=False),
        "how long a client may read nothing of what is sent before it is disconnected",
        default=60.0,
        unit="s",
    )
    stall_timeout: float = setting(
        _GROUP,
        kinds.seconds(zero=False),
        "how long an engine that has work may get nothing done before /healthz is answered 503",
        default=120.0,
        unit="s",
    )
    lameduck: float = setting(
        _GROUP,
        kinds.seconds(zero=True),
        "time for running requests to finish after SIGTERM",
        default=30.0,
        unit="s",
    )
    trust_request_chat_template: bool = setting(
        _GROUP,
        kinds.switch(),
        "let requests bring their own chat template, which is a program",
        default=False,
    )
