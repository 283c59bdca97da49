"""Every byte read once, every byte written once: counted at the seam to storage."""

from __future__ import annotations

import pytest

from tests.flow.conftest import textured, write_stack
from tests.flow.inprocess import start
from zblocks.config import Config
from zblocks.planning.finish import listed
from zblocks.run.attempt import attempt_block, attempt_coarse
from zblocks.run.job import (
    CONFIG,
    LOCK,
    PLAN,
    RECEIPTS,
    SLICES,
    open_job,
    read_tasks,
    stage_key,
)


def convert(tmp_path, write_config, **fields):
    """Convert in this process; return the job, with what each phase moved."""
    config = Config.load(write_config(**fields))
    plan = start(config).plan
    job = open_job(config.destination)
    tasks = read_tasks(job.plan, job.target)
    before = counts(job)
    for task in tasks:
        attempt_block(job, task)
    blocks = counts(job)
    for task in plan.coarse:
        attempt_coarse(job, task)
    return job, [b - a for a, b in zip(before, blocks, strict=True)], counts(job)


def counts(job):
    source, target = job.source.traffic, job.target.traffic
    return [source.gets, source.bytes_read, target.bytes_read, target.puts, target.bytes_written]


@pytest.mark.parametrize("ext", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("sharding", [False, True])
def test_slices_are_read_once_and_objects_written_once(tmp_path, write_config, ext, sharding):
    write_stack(tmp_path / "in", textured((130, 150, 170, 1), "uint8"), ext)
    fields = {"chunk_size": [32, 32, 16], "sharding": sharding, "voxel_resolution": [1, 1, 1]}
    job, blocks, _ = convert(tmp_path, write_config, **fields)
    gets, read, read_back, puts, _ = blocks
    source_bytes = sum(p.stat().st_size for p in (tmp_path / "in").iterdir())
    assert source_bytes <= read <= 1.02 * source_bytes
    assert gets == 130 if ext == ".jpg" else gets <= 130 * 8
    plan = job.plan
    objects = sum(listed(plan)[: plan.owned])
    assert puts == objects + plan.blocks  # every object once, and a receipt a block
    lock = job.target.head(LOCK).bytes
    assert read_back <= plan.blocks * lock  # each looks at the lock, and nothing else


def test_everything_written_is_the_volume(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((130, 150, 170, 1), "uint8"), ".jpg")
    fields = {"chunk_size": [32, 32, 16], "voxel_resolution": [1, 1, 1]}
    job, _, _ = convert(tmp_path, write_config, **fields)
    volume = sum(o.bytes for s in job.plan.scales for o in job.target.list(s.key))
    receipts = sum(o.bytes for o in job.target.list(RECEIPTS))
    keys = [SLICES, PLAN, CONFIG, *(stage_key(k) for k in range(1 + len(job.plan.coarse_stages)))]
    documents = sum(job.target.head(key).bytes for key in keys)
    written = job.target.traffic.bytes_written
    assert 0 <= written - (volume + receipts + documents) < 1 << 10  # the lock's
    coarse = sum(s.box.voxels for s in job.plan.scales[job.plan.owned :])
    assert coarse <= 0.02 * job.plan.box.voxels
