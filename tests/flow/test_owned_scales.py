"""Blocks write fewer scales than they can, where coarse tasks make the others for less."""

from __future__ import annotations

import numpy as np
import pytest

from tests.flow.conftest import textured, write_stack, zblocks
from tests.references import pyramid_of, read_tensorstore
from zblocks.config import Config
from zblocks.planning import planner
from zblocks.planning.stores import open_stores
from zblocks.planning.time import WorkerSpec
from zblocks.run import lock
from zblocks.run.job import open_job
from zblocks.run.start import Run, prepare

VOXELS = textured((300, 37, 41, 1), "uint8")
ON_LAMBDA = [WorkerSpec.on_lambda(1769)]


@pytest.fixture
def job(cloud, tmp_path, write_config):
    """The config of a stack in a folder, for a volume in a bucket in tall chunks."""
    write_stack(tmp_path / "in", VOXELS)
    place = f"s3://volumes/{tmp_path.name}"
    offset = {"voxel_offset": [3, -5, 7], "voxel_resolution": [1, 1, 1]}
    return write_config(destination=place, chunk_size=[8, 8, 64], sharding=False, **offset)


def volume(cloud, name):
    info = cloud.json("volumes", f"{name}/info")
    place = {"driver": "s3", "bucket": "volumes", "path": f"{name}/", "aws_region": "us-east-1"}
    found = read_tensorstore(place | {"endpoint": cloud.endpoint}, info)
    return info, found


def test_the_plan_of_the_cloud_is_kept_and_has_every_voxel(cloud, job, tmp_path, monkeypatch):
    """Made for Lambda, converted by `zblocks convert`, which would let blocks write all scales."""
    monkeypatch.setattr(planner, "CENTS", 0.0)
    config = Config.load(job)
    plan = prepare(config, open_stores(config), ON_LAMBDA, Run()).plan
    assert (plan.owned, len(plan.scales)) == (2, 4)
    lock.release(open_job(config.destination).target, "")
    done = zblocks("convert", job, env=cloud.env)
    assert done.code == 0, done.out + done.err
    kept = open_job(config.destination).plan
    assert (kept.layout_id, kept.owned) == (plan.layout_id, 2)
    info, found = volume(cloud, tmp_path.name)
    for ours, due in zip(found, pyramid_of(VOXELS, info), strict=True):
        np.testing.assert_array_equal(ours, due)


def test_one_machine_writes_the_same_voxels_in_one_pass(cloud, job, tmp_path):
    """In shallower chunks at coarser scales."""
    done = zblocks("convert", job, env=cloud.env)
    assert done.code == 0, done.out + done.err
    assert open_job(Config.load(job).destination).plan.owned == 3
    info, found = volume(cloud, tmp_path.name)
    assert [s["chunk_sizes"][0][2] for s in info["scales"]] == [64, 32, 16, 64]
    for ours, due in zip(found, pyramid_of(VOXELS, info), strict=True):
        np.testing.assert_array_equal(ours, due)
