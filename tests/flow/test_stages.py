"""Coarsest scales made in stages of many tasks, as for volumes of tens of teravoxels."""

from __future__ import annotations

import dataclasses
import json
import random

import numpy as np
import pytest

from tests.flow.conftest import textured, write_stack
from tests.references import pyramid_of, read_info, read_tensorstore
from zblocks.config import Config
from zblocks.conversion.tasks import convert_block, convert_coarse
from zblocks.planning.plan import Wishes, plan_from_json, plan_to_json, task_from_json
from zblocks.planning.planner import Job, plan_coarse
from zblocks.planning.time import Worker, predict_coarse_seconds
from zblocks.run.finalize import finalize
from zblocks.run.job import ITEMS, PLAN, open_workplace
from zblocks.run.start import Run, prepare

SLOW = Worker(100_000, limit_s=predict_coarse_seconds(20 * 20 * 64, Worker(100_000)))
"""A worker that can make 64 layers of scale 1 in its time, and not much more."""


@pytest.mark.parametrize("sharding", [False, True])
@pytest.mark.parametrize("offset", [(0, 0, 0), (-5, 3, 77)])
def test_stages_make_the_same_voxels(tmp_path, write_config, sharding, offset):
    voxels = write_stack(tmp_path / "in", textured((1200, 33, 37, 1), "uint8"), ".tif")
    config = Config.load(
        write_config(
            chunk_size=[8, 8, 8],
            sharding=sharding,
            voxel_resolution=[1, 1, 1],
            voxel_offset=offset,
            compression="none" if not sharding else "gzip",
        )
    )
    plan = prepare(config, Worker(2000), Run()).plan
    wishes = Wishes(plan.scales[0].resolution, plan.box.start, None, None, sharding)
    job = Job(plan.source, plan.destination, plan.volume, wishes, 37, 33, (), 0, True)
    # Take scales away from the blocks, so that there is something to stage.
    scales, coarse = plan_coarse(job, plan.scales, 2, SLOW)
    staged = dataclasses.replace(plan, scales=scales, owned=2, coarse=coarse)
    assert len(staged.stages()) >= 2
    assert len(staged.stages()[0]) > 3
    work = open_workplace(config.destination)
    work.target.put_json(PLAN, plan_to_json(staged))
    work = open_workplace(config.destination)
    assert plan_from_json(plan_to_json(staged)) == work.plan
    for item in json.loads(work.target.get(ITEMS)):
        convert_block(work, task_from_json(item))
    for stage in staged.stages():
        for index in random.Random(0).sample(stage, len(stage)):
            convert_coarse(work, work.plan.coarse[index])
    finalize(work, Run())
    info = read_info(tmp_path / "out")
    found = read_tensorstore({"driver": "file", "path": f"{tmp_path}/out/"}, info)
    for scale, (ours, due) in enumerate(zip(found, pyramid_of(voxels, info), strict=True)):
        np.testing.assert_array_equal(ours, due, err_msg=f"scale {scale}")
