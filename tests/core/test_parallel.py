"""An action for many items: they are taken as threads become free; the first error is raised."""

from __future__ import annotations

import threading

import pytest

from zblocks.verify.chunks import AHEAD, THREADS, for_each


def test_every_item_is_done_once_and_few_are_taken_ahead():
    done, taken, most = [], 0, 0
    lock = threading.Lock()

    def items():
        nonlocal taken, most
        for number in range(5000):
            taken += 1
            most = max(most, taken - len(done))
            yield number

    def action(number):
        with lock:
            done.append(number)

    for_each(action, items())
    assert sorted(done) == list(range(5000))
    assert most <= AHEAD + THREADS + 1


def test_the_first_error_is_raised():
    def action(number):
        if number == 100:
            raise ValueError(number)

    with pytest.raises(ValueError, match="100"):
        for_each(action, range(10**6))
