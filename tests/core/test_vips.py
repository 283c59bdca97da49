"""libvips is set up once, before any thread decodes with it, and gives any number of rows."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from zblocks.slices import open_slice, probe, vips


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


class Bytes:
    """A file in memory."""

    def __init__(self, data):
        self.name, self.size, self._data = "s", len(data), data

    def read_at(self, start, length):
        return self._data[start : start + length]


@pytest.mark.parametrize(
    ("kind", "how"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"subsampling": 2, "restart_marker_rows": 3}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
    ],
    ids=str,
)
@pytest.mark.parametrize("width", [90, 7000])
def test_any_number_of_rows_at_a_time(kind, how, width):
    """libvips lets go of rows after each group; readers ask for any number of them."""
    rng = np.random.default_rng(0)
    plane = rng.integers(0, 255, (211, width, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(plane).save(file, kind, **how)
    source = Bytes(file.getvalue())
    header = probe(source)
    reader = open_slice(source, header, 1)
    found = np.empty_like(plane)
    at = 0
    for rows in [1, 15, 16, 17, 50, 64, 3, 45]:
        reader.read_rows(found[at : at + rows])
        at += rows
    assert at == len(plane)
    np.testing.assert_array_equal(found, np.asarray(Image.open(file)))
