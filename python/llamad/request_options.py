"""What a request asks of the scheduler: `RequestOptions`, one frozen dataclass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from .errors import ParameterError

MAX_CHOICES = 128
"""Most completions of one prompt in one request."""

MAX_TIMEOUT_S = 1e6
"""Longest time-out that can be asked for: a good eleven days."""

_INT32_MIN, _INT32_MAX = -(2**31), 2**31 - 1


class NativeOptions(TypedDict):
    """The same as keyword arguments of the native engine's `prepare`."""

    priority: int
    client: str
    cache_salt: str
    timeout_s: float


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """When a request is computed, for how long, and with whom it may share.

    Attributes:
        priority: lower goes first, as in vLLM; requests of equal priority are served fairly.
        client: whose request it is. Clients share the slots evenly, however many requests one of
            them has waiting; "" is a client like any other.
        cache_salt: requests reuse each other's computed prefixes only if their salts are equal. Give
            tenants a secret each, and none can learn by timing what another has asked.
        timeout_s: seconds from submission until the request ends with `RequestTimeoutError`; above 0
            and at most `MAX_TIMEOUT_S`. None: only the engine's own limit holds.

    Raises:
        ParameterError: a value has the wrong type or lies outside its range.
    """

    priority: int = 0
    client: str = ""
    cache_salt: str = ""
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        """Check every value."""
        check_integer("priority", self.priority, _INT32_MIN, _INT32_MAX)
        _check_text("client", self.client)
        _check_text("cache_salt", self.cache_salt)
        _check_timeout("timeout_s", self.timeout_s)

    @property
    def native(self) -> NativeOptions:
        """Return what the native engine's `prepare` takes."""
        return {
            "priority": self.priority,
            "client": self.client,
            "cache_salt": self.cache_salt,
            "timeout_s": self.timeout_s or 0.0,
        }


def check_options(options: object) -> None:
    """Raise a `ParameterError` unless these are `RequestOptions`."""
    if not isinstance(options, RequestOptions):
        raise _mismatch("options", "RequestOptions", options)


def check_integer(name: str, value: object, minimum: int, maximum: int) -> None:
    """Raise a `ParameterError` unless the value is an integer in `[minimum, maximum]`."""
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise _mismatch(name, f"an integer from {minimum} to {maximum}", value)


def _check_text(name: str, value: object) -> None:
    try:
        if isinstance(value, str):
            value.encode()
            return
    except UnicodeEncodeError:  # half a surrogate pair, which the engine could not take
        pass
    raise _mismatch(name, "a string", value)


def _check_timeout(name: str, value: object) -> None:
    if value is None:
        return
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MAX_TIMEOUT_S:
        return
    raise _mismatch(name, f"a number of seconds above 0 and at most {MAX_TIMEOUT_S:g}, or None", value)


def _mismatch(name: str, expected: str, value: object) -> ParameterError:
    return ParameterError(f"{name} must be {expected}, got {value!r}", param=name)


DEFAULT = RequestOptions()
"""What holds for a request that says nothing."""
