"""How much of the server one API key may use: requests at once, and tokens per minute."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MINUTE_S = 60.0


class TokenBucket:
    """Tokens that come back evenly: a full bucket holds what a minute brings.

    What a request will use is not known when it comes. It is let in against an estimate, and what it did
    use is settled when it is over. That may leave the bucket in debt, and then the next waits until it is
    paid off: over time nobody gets more than the rate.

    Args:
        per_minute: tokens that come back in a minute, at least 1.
        now: seconds of a monotonic clock; the bucket is full then.
    """

    def __init__(self, per_minute: int, now: float) -> None:
        self.per_minute = per_minute
        self._level = float(per_minute)
        self._at = now

    def level(self, now: float) -> float:
        """Return how many tokens are in it; negative while it is in debt."""
        self._level = min(self.per_minute, self._level + (now - self._at) * self._rate)
        self._at = now
        return self._level

    def wait_s(self, tokens: float, now: float) -> float:
        """Return in how many seconds so many tokens are in it, or it is full."""
        return max(0.0, (min(tokens, self.per_minute) - self.level(now)) / self._rate)

    def take(self, tokens: float, now: float) -> None:
        """Take tokens out, more than there are if need be; a negative number puts some back."""
        self._level = self.level(now) - tokens

    @property
    def _rate(self) -> float:
        return self.per_minute / _MINUTE_S


class OverLimitError(Exception):
    """One request more would be over a limit.

    Attributes:
        limit: which one: "requests" or "tokens".
        wait_s: seconds after which it may be let in.
    """

    def __init__(self, limit: str, wait_s: float, message: str) -> None:
        super().__init__(message)
        self.limit = limit
        self.wait_s = wait_s


class Quota:
    """What one API key has used of its limits. Lives on one event loop.

    Args:
        clock: monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._max_requests = 0
        self._running = 0
        self._bucket: TokenBucket | None = None

    def limit(self, max_requests: int, tokens_per_minute: int) -> None:
        """Set the limits; 0 is none. What runs goes on, and a limit that stays the same keeps its level."""
        self._max_requests = max_requests
        before = 0 if self._bucket is None else self._bucket.per_minute
        if tokens_per_minute != before:
            self._bucket = TokenBucket(tokens_per_minute, self._clock()) if tokens_per_minute else None

    def enter(self, estimate: float) -> float:
        """Let a request in that will use about so many tokens, at least 1.

        Returns:
            The tokens that were taken for it, to be settled when it leaves.

        Raises:
            OverLimitError: that would be over a limit.
        """
        if self._max_requests and self._running >= self._max_requests:
            raise OverLimitError(
                "requests", 1.0, f"this key may have {self._max_requests} requests at once, and has"
            )
        taken = 0.0
        if self._bucket is not None:
            now = self._clock()
            if wait_s := self._bucket.wait_s(estimate, now):
                raise OverLimitError(
                    "tokens", wait_s, f"this key may use {self._bucket.per_minute} tokens per minute"
                )
            taken = min(estimate, self._bucket.per_minute)
            self._bucket.take(taken, now)
        self._running += 1
        return taken

    def leave(self, taken: float, used: float) -> None:
        """Settle what a request has used that is over."""
        self._running -= 1
        if self._bucket is not None:
            self._bucket.take(used - taken, self._clock())

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return where it stands, in OpenAI's headers; nothing of limits that there are not."""
        headers = []
        if self._max_requests:
            headers += [
                (b"x-ratelimit-limit-requests", b"%d" % self._max_requests),
                (b"x-ratelimit-remaining-requests", b"%d" % max(0, self._max_requests - self._running)),
            ]
        if self._bucket is not None:
            now = self._clock()
            full_s = self._bucket.wait_s(self._bucket.per_minute, now)
            headers += [
                (b"x-ratelimit-limit-tokens", b"%d" % self._bucket.per_minute),
                (b"x-ratelimit-remaining-tokens", b"%d" % max(0.0, self._bucket.level(now))),
                (b"x-ratelimit-reset-tokens", _duration(full_s)),
            ]
        return headers


def _duration(seconds: float) -> bytes:
    """Write a duration as OpenAI does: `17ms`, `1s`, `6m0s`."""
    if seconds < 1:
        return b"%dms" % math.ceil(seconds * 1e3)
    minutes, rest = divmod(math.ceil(seconds), 60)
    return b"%dm%ds" % (minutes, rest) if minutes else b"%ds" % rest
