"""Deeds for many things: taken as they can be done, and the first error is raised."""

from __future__ import annotations

import threading

import pytest
from zblocks.verify.crew import AHEAD, THREADS, each


def test_every_thing_is_done_once_and_few_are_taken_ahead():
    done, taken, most = [], 0, 0
    lock = threading.Lock()

    def things():
        nonlocal taken, most
        for number in range(5000):
            taken += 1
            most = max(most, taken - len(done))
            yield number

    def deed(number):
        with lock:
            done.append(number)

    each(deed, things())
    assert sorted(done) == list(range(5000))
    assert most <= AHEAD + THREADS + 1


def test_the_first_error_is_raised():
    def deed(number):
        if number == 100:
            raise ValueError(number)

    with pytest.raises(ValueError, match="100"):
        each(deed, range(10**6))
