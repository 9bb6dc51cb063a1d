"""`ThreadSignal`: nobody is left waiting, and nothing is left behind."""

from __future__ import annotations

import threading
import time

from llamad.blocking.thread_signal import ThreadSignal

WAIT_S = 30.0


def test_a_condition_that_holds_is_not_waited_for() -> None:
    assert ThreadSignal().wait_until(lambda: True, 0)


def test_a_wait_ends_with_its_time() -> None:
    signal = ThreadSignal()
    begin = time.monotonic()
    assert not signal.wait_until(lambda: False, 0.05)
    assert time.monotonic() - begin >= 0.05
    assert signal._waiters == []


def test_every_waiter_is_woken() -> None:
    signal, done = ThreadSignal(), threading.Event()
    waiters = [threading.Thread(target=signal.wait_until, args=(done.is_set, WAIT_S)) for _ in range(8)]
    for waiter in waiters:
        waiter.start()
    done.set()
    signal.fire()
    for waiter in waiters:
        waiter.join(WAIT_S)
        assert not waiter.is_alive()
    assert signal._waiters == []


def test_no_firing_is_missed() -> None:
    """Two threads hand a number to each other, each waiting for the other's turn."""
    signal, turns = ThreadSignal(), [0]
    rounds = 2000

    def play(mine: int) -> None:
        while turns[0] < rounds:
            assert signal.wait_until(lambda: turns[0] % 2 == mine or turns[0] >= rounds, WAIT_S)
            if turns[0] < rounds:
                turns[0] += 1
            signal.fire()

    # A missed one would cost half a second, the longest that a thread waits without looking.
    begin = time.monotonic()
    players = [threading.Thread(target=play, args=(mine,)) for mine in range(2)]
    for player in players:
        player.start()
    for player in players:
        player.join(WAIT_S)
        assert not player.is_alive()
    assert turns[0] == rounds
    assert time.monotonic() - begin < rounds * 0.25


def test_firing_is_safe_from_many_threads() -> None:
    signal, n_fired = ThreadSignal(), [0] * 4

    def fire(index: int) -> None:
        for _ in range(500):
            n_fired[index] += 1
            signal.fire()

    threads = [threading.Thread(target=fire, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    assert signal.wait_until(lambda: sum(n_fired) == 2000, WAIT_S)
    for thread in threads:
        thread.join(WAIT_S)
    assert signal._waiters == []
