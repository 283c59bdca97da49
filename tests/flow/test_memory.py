"""Does a worker stay within the memory that its plan predicts? From block to block, too."""

from __future__ import annotations

import pytest

from benchmarks.memory import convert, write_stack
from tests.formats.registry import INPUTS


@pytest.mark.parametrize(("sharding", "memory_mb"), [(False, 700), (True, 1100)])
def test_the_peak_is_below_the_prediction_and_near_it(tmp_path, sharding, memory_mb):
    """Slices of 8000×6000 that don't fit whole: decoded in strips, two blocks by one process."""
    (tmp_path / "in").mkdir()
    write_stack(tmp_path / "in", INPUTS["JPEG grey"], (8000, 6000), 32)
    found = convert(tmp_path, memory_mb, sharding=sharding, scales=4)
    assert found.rows < 6000
    assert found.peak <= found.predicted <= 0.88 * memory_mb
    if not sharding:  # shards are planned for as if they didn't compress
        assert found.peak >= 0.6 * found.predicted
