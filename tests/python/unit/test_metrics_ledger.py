"""`Ledger`: sums that only grow, whatever engines come and go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from llamad.server.loop_watch import LoopLag
from llamad.server.metrics_ledger import Ledger


@dataclass
class Engine:
    generated: int = 0
    counts: tuple[int, ...] = (0, 0)
    closed: bool = False

    def stats(self) -> dict[str, Any]:
        histogram = ((1.0,), list(self.counts), float(sum(self.counts)))
        counters = {"generated_tokens": self.generated, "waiting": 5, "timeouts": 0}
        return counters | {"histograms": {"ttft_s": histogram}}


def generated(ledger: Ledger, model: str = "a") -> int:
    return ledger.totals()[model].counters["generated_tokens"]


def test_nothing_is_known_of_a_model_that_was_never_loaded() -> None:
    ledger = Ledger()
    ledger.follow({})
    assert ledger.totals() == {}


def test_engines_of_a_model_add_up() -> None:
    ledger = Ledger()
    first, second = Engine(3), Engine(4)
    ledger.follow({"a": first})
    assert generated(ledger) == 3
    first.closed = True
    ledger.follow({"a": second})
    assert generated(ledger) == 7
    second.generated = 10
    assert generated(ledger) == 13


def test_what_an_engine_counts_while_it_closes_is_counted() -> None:
    ledger = Ledger()
    engine = Engine(3)
    ledger.follow({"a": engine})
    ledger.follow({})  # not served any more
    engine.generated = 5
    engine.closed = True
    assert generated(ledger) == 5
    ledger.follow({})
    ledger.follow({})
    assert generated(ledger) == 5


def test_a_closed_engine_is_let_go() -> None:
    ledger = Ledger()
    engine = Engine(3)
    ledger.follow({"a": engine})
    engine.closed = True
    for _ in range(2):  # though it is listed still
        ledger.follow({"a": engine})
        engine.generated = 100
        assert generated(ledger) == 3


def test_models_and_kinds_are_told_apart() -> None:
    ledger = Ledger()
    ledger.follow({"a": Engine(1), "b": Engine(2)})
    assert (generated(ledger, "a"), generated(ledger, "b")) == (1, 2)


def test_histograms_add_up_bucket_by_bucket() -> None:
    ledger = Ledger()
    first = Engine(counts=(1, 2))
    ledger.follow({"a": first})
    first.closed = True
    ledger.follow({"a": Engine(counts=(10, 20))})
    for _ in range(2):  # asking changes nothing
        assert ledger.totals()["a"].histograms["ttft_s"] == ((1.0,), [11, 22], 33.0)


def test_gauges_are_not_summed() -> None:
    ledger = Ledger()
    ledger.follow({"a": Engine()})
    assert "waiting" not in ledger.totals()["a"].counters


def test_lag_is_counted_in_the_first_bucket_that_holds_it() -> None:
    lag = LoopLag()
    for seconds in (0.0, 0.001, 0.0011, 99.0):
        lag.observe(seconds)
    bounds, counts, total = lag.histogram
    assert counts == [2, 1, *[0] * (len(bounds) - 2), 1]
    assert total == pytest.approx(99.0021)
