"""By which names a server on a loopback address may be called.

A page of any site can have its own name resolve to 127.0.0.1, and is then of the same origin as a server
there, as far as the browser can tell (DNS rebinding). What the page cannot change is that the name
stands in the `Host` header.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from ..openai.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..openai.errors import WireError


class Hosts:
    """The names that are allowed, besides those that can mean nothing but this machine.

    Args:
        allowed: names in lower case, or `*` for all.
    """

    def __init__(self, allowed: Sequence[str] = ()) -> None:
        self._all = "*" in allowed
        self._allowed = frozenset(allowed)

    def refusal(self, host: bytes | None) -> WireError | None:
        """Return why a request with this `Host` is refused; None where it is not, or has none."""
        if host is None or self._all:
            return None
        name = host_of(host)
        if name in self._allowed or name == "localhost" or name.endswith(".localhost") or is_loopback(name):
            return None
        message = (
            f"this server does not go by the name {name[:100]!r}; call it localhost, or start it with "
            "--allowed-host for the name, or with API keys"
        )
        return invalid(403, "host_not_allowed", message)


def host_of(header: bytes) -> str:
    """Return the name in a `Host` header, in lower case and without port and final dot."""
    text = header.decode("latin-1").strip().lower()
    name = text.partition("]")[0] + "]" if text.startswith("[") else text.partition(":")[0]
    return name.rstrip(".")


def is_loopback(name: str) -> bool:
    """Say whether this is an address of this machine alone, or the name `localhost`."""
    if name.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name.removeprefix("[").removesuffix("]").partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
