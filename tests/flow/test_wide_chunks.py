"""Blocks that are shallow for lack of memory write wider chunks, as the cloud's workers do."""

from __future__ import annotations

import numpy as np
import pytest

from tests.flow.conftest import textured, write_stack
from tests.flow.inprocess import do_all
from tests.references import pyramid_of, read_cloudvolume, read_info, read_tensorstore
from zblocks.config import Config
from zblocks.planning.stores import open_stores
from zblocks.planning.time import WorkerSpec
from zblocks.run.finalize import finalize
from zblocks.run.job import open_job
from zblocks.run.start import Run, prepare

VOXELS = textured((37, 300, 1100, 1), "uint8")
SMALL = {True: WorkerSpec(135, paid=True), False: WorkerSpec(115, paid=True)}


@pytest.mark.parametrize("sharding", [True, False])
def test_every_voxel_of_every_scale(sharding, tmp_path, write_config):
    write_stack(tmp_path / "in", VOXELS)
    places = {"voxel_resolution": [4, 4, 40], "voxel_offset": [3, -5, 7]}
    config = Config.load(write_config(sharding=sharding, compression="none", **places))
    prepared = prepare(config, open_stores(config), [SMALL[sharding]], Run())
    plan = prepared.plan
    assert plan.blocks > 2
    x, y, z = plan.scales[0].chunk
    assert (x >= y > z, x > 128, x * y * z) == (True, True, 1 << 18)
    do_all(open_job(config.destination), prepared.pending)
    assert finalize(open_job(config.destination), Run()).status == "COMPLETE"
    folder = tmp_path / "out"
    info = read_info(folder)
    expected = pyramid_of(VOXELS, info)
    found = read_tensorstore({"driver": "file", "path": f"{folder}/"}, info)
    others = read_cloudvolume(f"file://{folder}", info)
    for ours, other, due in zip(found, others, expected, strict=True):
        np.testing.assert_array_equal(ours, due)
        np.testing.assert_array_equal(other, due)
