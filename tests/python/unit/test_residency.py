"""The rules of `llamad.models.residency`, by their numbers there."""

from __future__ import annotations

import random
from typing import Any

import pytest
from llamad.models.residency import Plan, Policy, Resident, Wanted, fits, less, more, total

NOW = 1000.0
LONG_AGO = 10.0
TURN = 2.0


def resident(name: str, size: int = 1, **fields: Any) -> Resident:
    """One that is loaded, and idle, since long ago."""
    usual: dict[str, Any] = {"state": "loaded", "loaded_at": LONG_AGO, "idle_since": LONG_AGO}
    return Resident(id=name, cost={"host": size}, **(usual | fields))


def wanted(name: str, size: int = 1, *, waits: float = 0.0, load_s: float = 0.0) -> Wanted:
    return Wanted(id=name, cost={"host": size}, since=NOW - waits, load_s=load_s)


def decide(residents: list[Resident], *who: Wanted, capacity: int = 2, now: float = NOW) -> Plan:
    return Policy(TURN).plan(residents, who, {"host": capacity}, now)


def test_sums_of_costs() -> None:
    assert total([{"a": 1}, {"a": 2, "b": 3}]) == {"a": 3, "b": 3}
    assert less({"a": 5}, {"a": 1}, {"a": 2, "b": 1}) == {"a": 2}
    assert more({"a": 5}, {"a": 1}, {"b": 1}) == {"a": 6}
    assert fits({"a": 5, "unbounded": 9}, {"a": 5})
    assert not fits({"a": 6}, {"a": 5})


def test_nothing_to_do() -> None:
    assert decide([resident("a", busy=True)]) == Plan((), {}, {}, frozenset(), None, {"host": 1})


def test_1_an_idle_model_goes_when_its_keep_alive_is_over_and_not_before() -> None:
    idle = resident("a", idle_since=NOW - 5, keep_alive_s=5)
    assert decide([idle]).unload == {"a": "idle"}
    waiting = decide([resident("a", idle_since=NOW - 4, keep_alive_s=5)])
    assert (waiting.unload, waiting.wake_at) == ({}, NOW + 1)
    assert decide([resident("a", busy=True, idle_since=NOW - 5, keep_alive_s=5)]).unload == {}
    assert decide([resident("a", pinned=True, idle_since=NOW - 5, keep_alive_s=5)]).unload == {}
    assert decide([resident("a", state="unloading", idle_since=NOW - 5, keep_alive_s=5)]).unload == {}


def test_1_a_changed_model_goes_when_it_is_idle_and_gets_nothing_new_after_a_turn() -> None:
    assert decide([resident("a", pinned=True, stale_since=NOW)]).unload == {"a": "changed"}
    busy = decide([resident("a", busy=True, stale_since=NOW)])
    assert (busy.draining, busy.wake_at) == (frozenset(), NOW + TURN)
    assert decide([resident("a", busy=True, stale_since=NOW - TURN)]).draining == {"a"}


def test_2_what_never_fits_is_refused_with_what_there_is() -> None:
    assert decide([], wanted("big", 3)).refused == {"big": {"host": 2}}
    beside = decide([resident("a", pinned=True)], wanted("big", 2))
    assert beside.refused == {"big": {"host": 1}}
    assert decide([resident("a", state="unloading", pinned=True)], wanted("big", 2)).refused == {}


def test_3_what_fits_is_loaded_all_that_fit_together() -> None:
    plan = decide([resident("a")], wanted("late"), wanted("early", waits=1), capacity=2)
    assert plan.load == ("early",)
    assert decide([resident("a")], wanted("b"), wanted("c", waits=1), capacity=3).load == ("c", "b")


def test_4_memory_that_is_on_its_way_is_waited_for_and_promised_once() -> None:
    going = resident("a", 2, state="unloading")
    plan = decide([going, resident("b", 1)], wanted("c", 2, waits=1), wanted("d", 1), capacity=3)
    assert (plan.load, plan.unload) == ((), {"b": "room"})


def test_4_a_small_model_may_load_while_a_large_one_waits_if_both_will_fit() -> None:
    going = resident("a", 6, state="unloading")
    plan = decide([going], wanted("large", 8, waits=1), wanted("small", 2), capacity=10)
    assert plan.load == ("small",)
    assert decide([going], wanted("large", 8, waits=1), wanted("other", 3), capacity=10).load == ()


def test_5_the_least_recently_used_goes_first_and_no_more_than_needed() -> None:
    models = [resident("old", idle_since=1), resident("new", idle_since=3), resident("mid", idle_since=2)]
    assert decide(models, wanted("x"), capacity=3).unload == {"old": "room"}
    assert decide(models, wanted("x", 2), capacity=3).unload == {"old": "room", "mid": "room"}
    sizes = [resident("small", 1, idle_since=1), resident("large", 3, idle_since=2)]
    assert decide(sizes, wanted("x", 3), capacity=4).unload == {"large": "room"}


def test_5_pinned_busy_and_loading_ones_stay() -> None:
    models = [
        resident("pinned", pinned=True, idle_since=1),
        resident("busy", busy=True, loaded_at=NOW, idle_since=2),
        resident("loading", state="loading"),
        resident("idle", idle_since=NOW - 1),
    ]
    assert decide(models, wanted("x"), capacity=4).unload == {"idle": "room"}


def test_5_a_model_that_has_just_turned_idle_is_spared_for_a_moment() -> None:
    just = resident("a", 2, idle_since=NOW, loaded_at=NOW - 1, load_s=0.2)
    plan = decide([just], wanted("x", 2))
    assert (plan.unload, plan.wake_at) == ({}, NOW + 0.05)
    assert decide([just], wanted("x", 2, waits=0.0), now=NOW + 0.05).unload == {"a": "room"}
    slow = resident("a", 2, idle_since=NOW, loaded_at=NOW - 1, load_s=1000)
    assert decide([slow], wanted("x", 2)).wake_at == NOW + 0.1


def test_6_after_a_turn_busy_models_make_room() -> None:
    busy = resident("a", 2, busy=True, loaded_at=NOW - 10)
    early = decide([busy], wanted("x", 2, waits=1))
    assert (early.draining, early.wake_at) == (frozenset(), NOW + 1)
    assert decide([busy], wanted("x", 2, waits=TURN)).draining == {"a"}


def test_6_a_model_has_its_turn_from_when_it_was_loaded() -> None:
    young = resident("a", 2, busy=True, loaded_at=NOW - 0.5)
    plan = decide([young], wanted("x", 2, waits=60))
    assert (plan.draining, plan.wake_at) == (frozenset(), NOW + 1.5)


def test_6_a_turn_is_as_long_as_the_two_loads() -> None:
    busy = resident("a", 2, busy=True, loaded_at=LONG_AGO, load_s=3)
    assert decide([busy], wanted("x", 2, waits=4, load_s=2)).wake_at == NOW + 1
    assert decide([busy], wanted("x", 2, waits=5, load_s=2)).draining == {"a"}


def test_6_who_was_loaded_first_makes_room_first_and_idle_ones_before() -> None:
    models = [
        resident("second", busy=True, loaded_at=20),
        resident("first", busy=True, loaded_at=10),
        resident("idle", idle_since=NOW, loaded_at=30, load_s=1),
    ]
    plan = decide(models, wanted("x", 2, waits=60), capacity=3)
    assert plan.unload == {"idle": "room"}
    assert plan.draining == {"first"}


def test_6_two_that_wait_do_not_count_on_the_same_memory() -> None:
    models = [resident("a", busy=True), resident("b", busy=True, loaded_at=LONG_AGO + 1)]
    plan = decide(models, wanted("x", waits=60), wanted("y", waits=50))
    assert plan.draining == {"a", "b"}


def test_7_who_has_waited_for_a_turn_is_not_overtaken() -> None:
    models = [resident("young", busy=True, loaded_at=NOW - 1)]
    small = wanted("small", 1)
    assert decide(models, wanted("large", 2, waits=1), small).load == ("small",)
    assert decide(models, wanted("large", 2, waits=60), small).load == ()


def test_pools_are_separate() -> None:
    gpu = Resident(id="gpu", cost={"CUDA0": 5}, state="loaded", loaded_at=0.0, idle_since=1.0)
    host = resident("host", 5, idle_since=2)
    there = {"host": 5, "CUDA0": 5}
    plan = Policy(TURN).plan([gpu, host], [wanted("x", 5)], there, NOW)
    assert plan.unload == {"host": "room"}


@pytest.mark.parametrize("seed", range(20))
def test_nobody_starves_and_the_capacity_holds_under_constant_load(seed: int) -> None:
    """Clients ask for all models all the time, so no model is ever idle unless it is drained."""
    chance = random.Random(seed)
    sizes = {f"m{index}": chance.randint(1, 4) for index in range(6)}
    policy, capacity = Policy(TURN), {"host": 5}
    loaded: dict[str, Resident] = {}
    since = dict.fromkeys(sizes, 0.0)
    longest, now = 0.0, 0.0
    while now < 400:
        waiting = [
            Wanted(id=name, cost={"host": sizes[name]}, since=since[name])
            for name in sizes
            if name not in loaded
        ]
        plan = policy.plan(list(loaded.values()), waiting, capacity, now)
        assert plan.refused == {}
        for name in plan.load:
            longest = max(longest, now - since[name])
            loaded[name] = resident(name, sizes[name], busy=True, loaded_at=now, load_s=0.5)
        for name in [*plan.unload, *plan.draining]:  # what a drained model still does is soon done
            del loaded[name]
            since[name] = now
        assert sum(sizes[name] for name in loaded) <= 5
        now += chance.choice((0.1, 0.3))
    assert longest < 6 * 2 * TURN + 1
