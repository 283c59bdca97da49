"""Coarsest scales made in stages of many tasks, as for volumes of tens of teravoxels."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest

from tests.flow.conftest import textured, write_stack
from tests.flow.inprocess import start, with_plan
from tests.references import pyramid_of, read_info, read_tensorstore
from zblocks.config import Config
from zblocks.outputs.scales import PRECOMPUTED_ONLY
from zblocks.planning.ownership import plan_coarse
from zblocks.planning.time import WorkerSpec, predict_coarse_seconds
from zblocks.run.attempt import attempt_block, attempt_coarse
from zblocks.run.finalize import finalize
from zblocks.run.job import open_job, read_tasks
from zblocks.run.start import Run


def with_time_for(voxels: int, chunks: int) -> WorkerSpec:
    """Return a worker that can make scales from so many voxels in its time, and not much more."""
    seconds = predict_coarse_seconds(voxels, voxels / 7, chunks, ["gzip"], WorkerSpec(100_000))
    return WorkerSpec(100_000, limit_s=seconds)


SLOW = with_time_for(20 * 20 * 64, 3 * 3 * 8)  # 64 layers of scale 1
LITTLE = with_time_for(130 * 130 * 20, 17 * 17 * 3)  # boxes of 128×128 of scale 1


@pytest.mark.parametrize(
    "case",
    [((1200, 33, 37, 1), SLOW, (1, 1, 10)), ((40, 300, 340, 1), LITTLE, (2, 2, 1))],
    ids=["runs", "boxes"],
)
@pytest.mark.parametrize("sharding", [False, True])
@pytest.mark.parametrize("offset", [(0, 0, 0), (-5, 3, 77)])
def test_stages_make_the_same_voxels(tmp_path, write_config, case, sharding, offset):
    shape, worker, parts = case
    voxels = write_stack(tmp_path / "in", textured(shape, "uint8"), ".tif")
    config = Config.load(
        write_config(
            chunk_size=[8, 8, 8],
            sharding=sharding,
            voxel_resolution=[1, 1, 1],
            voxel_offset=offset,
            compression="none" if not sharding else "gzip",
        )
    )
    plan = start(config).plan
    # Take scales away from the blocks, so that there is something to stage.
    scales, coarse = plan_coarse(plan.scales, 2, worker, PRECOMPUTED_ONLY)
    volume = dataclasses.replace(plan.volume, scales=scales)
    staged = dataclasses.replace(plan, volume=volume, owned=2, coarse_stages=coarse)
    assert len(staged.stages()) >= 2
    assert coarse[0].grid == parts
    job = with_plan(open_job(config.destination), staged)
    assert job.plan == staged
    for task in read_tasks(job.plan, job.target):
        attempt_block(job, task)
    for stage in staged.stages():
        for index in random.Random(0).sample(stage, len(stage)):
            attempt_coarse(job, job.plan.coarse[index])
    finalize(job, Run())
    info = read_info(tmp_path / "out")
    found = read_tensorstore({"driver": "file", "path": f"{tmp_path}/out/"}, info)
    for scale, (ours, due) in enumerate(zip(found, pyramid_of(voxels, info), strict=True)):
        np.testing.assert_array_equal(ours, due, err_msg=f"scale {scale}")
