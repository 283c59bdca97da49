"""Every byte read once, every byte written once: counted at the seam to storage."""

from __future__ import annotations

import json

import pytest

from tests.flow.conftest import textured, write_stack
from zblocks.config import Config
from zblocks.conversion.tasks import convert_block, convert_coarse
from zblocks.planning.plan import task_from_json
from zblocks.planning.time import Worker
from zblocks.run.job import CLAIM, ITEMS, RECEIPTS, open_workplace
from zblocks.run.start import Run, prepare


def convert(tmp_path, write_config, **fields):
    """Convert in this process; return the workplace, with what each phase moved."""
    config = Config.load(write_config(**fields))
    plan = prepare(config, Worker(2000), Run()).plan
    work = open_workplace(config.destination)
    tasks = [task_from_json(t) for t in json.loads(work.target.get(ITEMS))]
    start = counts(work)
    for task in tasks:
        convert_block(work, task)
    blocks = counts(work)
    for task in plan.coarse:
        convert_coarse(work, task)
    return work, [b - a for a, b in zip(start, blocks, strict=True)], counts(work)


def counts(work):
    source, target = work.source.traffic, work.target.traffic
    return [source.gets, source.bytes_read, target.bytes_read, target.puts, target.bytes_written]


@pytest.mark.parametrize("ext", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("sharding", [False, True])
def test_slices_are_read_once_and_objects_written_once(tmp_path, write_config, ext, sharding):
    write_stack(tmp_path / "in", textured((130, 150, 170, 1), "uint8"), ext)
    fields = {"chunk_size": [32, 32, 16], "sharding": sharding, "voxel_resolution": [1, 1, 1]}
    work, blocks, _ = convert(tmp_path, write_config, **fields)
    gets, read, read_back, puts, _ = blocks
    source_bytes = sum(p.stat().st_size for p in (tmp_path / "in").iterdir())
    assert source_bytes <= read <= 1.02 * source_bytes
    assert gets == 130 if ext == ".jpg" else gets <= 130 * 8
    plan = work.plan
    objects = sum(s.objects for s in plan.scales[: plan.owned])
    assert puts == objects + plan.blocks  # every object once, and a receipt a block
    claim = work.target.head(CLAIM).bytes
    assert read_back <= plan.blocks * claim  # each looks at the claim, and nothing else


def test_everything_written_is_the_volume(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((130, 150, 170, 1), "uint8"), ".jpg")
    fields = {"chunk_size": [32, 32, 16], "voxel_resolution": [1, 1, 1]}
    work, _, _ = convert(tmp_path, write_config, **fields)
    volume = sum(o.bytes for s in work.plan.scales for o in work.target.list(s.key))
    receipts = sum(o.bytes for o in work.target.list(RECEIPTS))
    documents = sum(
        work.target.head(f".zblocks/{n}.json").bytes for n in ("plan", "items", "due", "config")
    )
    written = work.target.traffic.bytes_written
    assert written == volume + receipts + documents
    coarse = sum(s.box.voxels for s in work.plan.scales[work.plan.owned :])
    assert coarse <= 0.02 * work.plan.box.voxels
