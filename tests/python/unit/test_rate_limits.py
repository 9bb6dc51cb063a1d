"""The limits of a key, on a clock that moves when the test says so."""

from __future__ import annotations

import pytest
from llamad.server.rate_limits import OverLimitError, Quota, TokenBucket


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def quota_of(clock: Clock, max_requests: int = 0, tokens_per_minute: int = 0) -> Quota:
    quota = Quota(clock)
    quota.limit(max_requests, tokens_per_minute)
    return quota


def headers_of(quota: Quota) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in quota.headers()}


def test_a_bucket_fills_evenly_and_not_beyond_the_rim() -> None:
    bucket = TokenBucket(60, now=0)
    bucket.take(30, now=0)
    assert bucket.level(10) == 40
    assert bucket.level(1000) == 60


def test_debt_is_paid_off_before_anything_is_left() -> None:
    bucket = TokenBucket(60, now=0)
    bucket.take(100, now=0)
    assert bucket.level(0) == -40
    assert bucket.wait_s(1, now=0) == 41
    assert bucket.wait_s(1, now=41) == 0


def test_more_than_it_ever_holds_waits_for_a_full_bucket() -> None:
    bucket = TokenBucket(60, now=0)
    assert bucket.wait_s(1000, now=0) == 0
    bucket.take(6, now=0)
    assert bucket.wait_s(1000, now=0) == 6


def test_requests_at_once(clock: Clock) -> None:
    quota = quota_of(clock, max_requests=2)
    first, _ = quota.enter(1), quota.enter(1)
    with pytest.raises(OverLimitError, match="2 requests at once") as refused:
        quota.enter(1)
    assert refused.value.limit == "requests"
    assert headers_of(quota) == {
        "x-ratelimit-limit-requests": "2",
        "x-ratelimit-remaining-requests": "0",
    }
    quota.leave(first, used=0)
    quota.enter(1)


def test_who_was_refused_takes_up_nothing(clock: Clock) -> None:
    quota = quota_of(clock, max_requests=1, tokens_per_minute=60)
    taken = quota.enter(60)
    for _ in range(3):
        with pytest.raises(OverLimitError):
            quota.enter(1)
    quota.leave(taken, used=0)
    assert headers_of(quota)["x-ratelimit-remaining-tokens"] == "60"
    assert headers_of(quota)["x-ratelimit-remaining-requests"] == "1"


def test_the_estimate_is_taken_and_the_real_use_settled(clock: Clock) -> None:
    quota = quota_of(clock, tokens_per_minute=600)
    taken = quota.enter(100)
    assert headers_of(quota)["x-ratelimit-remaining-tokens"] == "500"
    quota.leave(taken, used=250)
    assert headers_of(quota)["x-ratelimit-remaining-tokens"] == "350"
    quota.leave(quota.enter(100), used=0)
    assert headers_of(quota)["x-ratelimit-remaining-tokens"] == "350"


def test_over_time_nobody_gets_more_than_the_rate(clock: Clock) -> None:
    """Each request turns out ten times its estimate, and comes again as soon as it may."""
    quota, used, begin = quota_of(clock, tokens_per_minute=600), 0, clock.now
    while clock.now < begin + 600:
        try:
            taken = quota.enter(10)
        except OverLimitError as refused:
            clock.now += refused.wait_s + 1e-9
        else:
            quota.leave(taken, used=100)
            used += 100
    assert 600 * 10 <= used <= 600 * 11 + 100


def test_an_estimate_above_the_limit_is_let_in_when_the_bucket_is_full(clock: Clock) -> None:
    quota = quota_of(clock, tokens_per_minute=60)
    taken = quota.enter(1000)
    assert taken == 60
    quota.leave(taken, used=1000)
    with pytest.raises(OverLimitError) as refused:
        quota.enter(1)
    assert refused.value.wait_s == pytest.approx(941)


def test_no_limits_are_no_headers(clock: Clock) -> None:
    quota = quota_of(clock)
    quota.leave(quota.enter(1e9), used=1e9)
    assert headers_of(quota) == {}


@pytest.mark.parametrize(
    ("used", "shown"),
    [(0, "0ms"), (10, "10ms"), (1000, "1s"), (1500, "2s"), (60_000, "1m0s"), (90_000, "1m30s")],
)
def test_durations_are_written_as_openai_does(clock: Clock, used: int, shown: str) -> None:
    quota = quota_of(clock, tokens_per_minute=60_000)
    quota.leave(quota.enter(1), used=used)
    assert headers_of(quota)["x-ratelimit-reset-tokens"] == shown


def test_changed_limits_leave_what_runs_alone(clock: Clock) -> None:
    quota = quota_of(clock, max_requests=2, tokens_per_minute=60)
    taken = quota.enter(50)
    quota.limit(1, 60)
    assert headers_of(quota)["x-ratelimit-remaining-tokens"] == "10"
    with pytest.raises(OverLimitError):
        quota.enter(1)
    quota.limit(0, 0)
    quota.leave(quota.enter(1000), used=1000)
    quota.leave(taken, used=50)
    assert headers_of(quota) == {}
