"""libvips is set up once, before any thread decodes with it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from zblocks.slices import vips


def test_threads_wait_until_it_is_set_up(monkeypatch):
    """In between, every decoder is blocked."""
    monkeypatch.setattr(vips.pyvips, "operation_block_set", set_slowly := SetSlowly())
    vips._configure.cache_clear()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(vips.configure)
        assert set_slowly.begun.wait(60)
        second = pool.submit(vips.configure)
        assert not second.done()
        set_slowly.goes_on.set()
        for each in (first, second):
            each.result(60)
    assert set_slowly.calls == [True, False, False, False, False]


class SetSlowly:
    """Stands still after the first call."""

    def __init__(self):
        self.begun, self.goes_on, self.calls = threading.Event(), threading.Event(), []

    def __call__(self, name, blocked):
        self.calls.append(blocked)
        self.begun.set()
        assert self.goes_on.wait(60)
