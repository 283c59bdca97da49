"""Calls in threads: items are taken as threads become free; the first error is raised."""

from __future__ import annotations

import os
import threading

import pytest

from zblocks.host import cores
from zblocks.parallel import AHEAD, in_threads

THREADS = 8


def test_every_item_is_done_once_in_order_and_few_are_taken_ahead():
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
        return -number

    assert list(in_threads(action, items(), THREADS)) == [-n for n in range(5000)]
    assert sorted(done) == list(range(5000))
    assert most <= (AHEAD + 1) * THREADS + 1


def test_the_first_error_is_raised_and_nothing_more_is_begun():
    begun = []

    def action(number):
        begun.append(number)
        if number == 100:
            raise ValueError(number)

    with pytest.raises(ValueError, match="100"):
        list(in_threads(action, range(10**6), THREADS))
    assert len(begun) <= 100 + (AHEAD + 1) * THREADS


@pytest.mark.parametrize(
    ("memory_mb", "visible", "threads"),
    [(512, 2, 1), (1769, 2, 1), (3008, 2, 2), (3538, 3, 2), (7076, 4, 4), (10240, 6, 6)],
)
def test_threads_on_lambda_follow_the_share_of_time_that_is_bought(
    monkeypatch, memory_mb, visible, threads
):
    """Here all visible CPUs are ours; there, three are visible and two are bought at 3,538 MB."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(visible)), raising=False)
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", raising=False)
    assert cores() == visible
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", str(memory_mb))
    assert cores() == threads
