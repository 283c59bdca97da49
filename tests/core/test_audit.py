"""An audit counts: it finds what comparing all names would find, and holds no names."""

from __future__ import annotations

import random
import subprocess
import sys
import tracemalloc
import zlib
from bisect import bisect_right
from dataclasses import replace

import pytest

from benchmarks.finished import Names, etag
from tests.plans import a_stack
from zblocks.conversion.chunk_writer import Written
from zblocks.errors import StorageError
from zblocks.geometry import Vec
from zblocks.outputs.scales import PRECOMPUTED_ONLY, Formats
from zblocks.planning import blocks
from zblocks.planning.finish import listed
from zblocks.planning.planner import make_plan
from zblocks.planning.requests import all_objects
from zblocks.planning.time import WorkerSpec
from zblocks.run.audit import audit, delete_extra, task_names
from zblocks.run.job import RECEIPTS
from zblocks.run.ledger import RUN
from zblocks.run.records import Receipt
from zblocks.storage import StoredObject


class Bucket:
    """Objects in memory, listed in order: bytes and ETag by key."""

    local = False

    def __init__(self):
        self.objects, self.looked_at = {}, set()

    def put(self, key, data, tag=""):
        self.objects[key] = (data, tag or etag(key + str(data)))

    def beside(self, suffix):
        assert not suffix
        return self

    def stored_name(self, key, _encoding):
        return key

    def list(self, folder="", after=""):
        keys = sorted(k for k in list(self.objects) if k.startswith(f"{folder}/"))
        for key in keys[bisect_right(keys, after) :]:
            data, tag = self.objects[key]
            yield StoredObject(key, len(data), tag)

    def head(self, key):
        self.looked_at.add(key)
        if key not in self.objects:
            return None
        data, tag = self.objects[key]
        return StoredObject(key, len(data), tag)

    def get(self, key):
        return self.objects[key][0]

    def delete(self, keys):
        for key in list(keys):
            del self.objects[key]


def plan_of(*, sharded, blocks=3, side=512, **fields):
    options = {"sharding": sharded, "chunk": Vec(16, 16, 8), "scales": 3}
    stack = a_stack((side, side, 64 * blocks), (4.0, 4.0, 4.0), options=options, **fields)
    return make_plan(stack, WorkerSpec(30_000))[0]


def keys_of(plan):
    """Return the keys of the objects of every task, by brute force."""
    found = {name: {} for name in task_names(plan)}
    for name, keys in found.items():
        for scale, box in plan.written_by(name):
            (stored,) = plan.stored(plan.scales.index(scale))
            keys.update(dict.fromkeys(stored.key(c) for c in scale.touching(box)))
    return {name: list(keys) for name, keys in found.items()}


def receipt_of(plan, task, objects, *, partial=False):
    return Receipt(plan.layout_id, task, tuple(objects), (), (), 1.0, 9, 1, partial=partial)


@pytest.fixture(
    scope="module",
    params=[(s, c, f) for f in (PRECOMPUTED_ONLY, Formats(False, True)) for c in (False, True)
            for s in (False, True)],
    ids=["chunks", "shards", "chunks of boxes", "shards of boxes", "Zarr chunks", "Zarr shards",
         "Zarr chunks of boxes", "Zarr shards of boxes"],
)  # fmt: skip
def finished(request):
    """A plan of more objects than one run of names, and its tasks' keys."""
    sharded, cut, formats = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "CUT_SECONDS", 0.0)  # the smallest boxes
        tiles = {"pieces": (16, 16), "offset": (5, -3, 0)} if cut else {}
        formats = replace(formats, zarr_sharded=sharded and formats.zarr)
        plan = plan_of(sharded=sharded, formats=formats, **tiles)
    assert (min(plan.block_grid) > 1) == cut
    return plan, keys_of(plan)


def filled(plan, tasks):
    """Return a bucket where everything is done."""
    bucket = Bucket()
    for task, keys in tasks.items():
        for key in keys:
            bucket.put(key, b"voxels")
        objects = [Written(k, 6, zlib.crc32(b"voxels"), bucket.objects[k][1]) for k in keys]
        bucket.put(f"{RECEIPTS}/{task}.json", receipt_of(plan, task, objects).to_json())
    return bucket


def test_there_are_several_runs_of_names(finished):
    plan, tasks = finished
    assert plan.scales[0].sharding or all_objects(plan, 0) > 2 * RUN
    counts = (all_objects(plan, k) for k in range(len(plan.scales)))
    assert sum(map(len, tasks.values())) == sum(counts)


def test_what_is_as_receipted_is_not_looked_at(finished):
    bucket = filled(*finished)
    found = audit(finished[0], bucket)
    assert found.verdict.complete
    assert not found.verdict.pending
    assert not found.verdict.extra_objects
    assert not bucket.looked_at
    done = {f.task: (f.objects, f.bytes) for f in found.finished}
    assert done == {task: (len(keys), 6 * len(keys)) for task, keys in finished[1].items()}


@pytest.mark.parametrize("seed", range(2))
def test_every_fault_is_found(finished, seed):
    plan, tasks = finished
    bucket, rng = filled(plan, tasks), random.Random(seed)
    chosen = rng.sample([(t, k) for t, keys in tasks.items() for k in keys], 12)
    lost, cut, changed, renewed = chosen[:3], chosen[3:6], chosen[6:9], chosen[9:]
    for _, key in lost:
        del bucket.objects[key]
    for _, key in cut:
        bucket.put(key, b"voxel")
    for _, key in changed:
        bucket.put(key, b"vexols")
    for _, key in renewed:  # the same bytes, written again
        bucket.put(key, b"voxels", "another")
    names = ("stray", "0-7_0-7_0-7", "0-", "~")
    folders = [stored.folder for output in plan.outputs for stored in output.scales]
    strays = [f"{folder}/{name}" for folder in folders for name in names]
    for key in strays:
        bucket.put(key, b"stray")
    verdict = audit(plan, bucket).verdict
    assert (verdict.missing_objects.count, verdict.corrupt_objects.count) == (3, 6)
    assert verdict.missing_objects.first == sorted(k for _, k in lost)
    assert verdict.corrupt_objects.first == sorted(k for _, k in cut + changed)[:5]
    assert set(verdict.invalid_tasks) == {t for t, _ in lost + cut + changed}
    assert not verdict.complete
    assert verdict.extra_objects == len(strays)
    assert len(bucket.looked_at) < sum(map(len, tasks.values()))
    delete_extra(plan, bucket)
    assert not bucket.objects.keys() & set(strays)
    assert audit(plan, bucket).verdict.extra_objects == 0


def test_a_scale_that_was_deleted_is_not_asked_for(finished):
    plan, tasks = finished
    bucket, folder = filled(plan, tasks), f"{plan.scales[0].key}/"
    gone = [key for key in bucket.objects if key.startswith(folder)]
    bucket.delete(gone)
    verdict = audit(plan, bucket).verdict
    assert verdict.missing_objects.count == len(gone)
    assert verdict.missing_objects.first == sorted(gone)[:5]
    assert set(verdict.invalid_tasks) == {t for t, k in tasks.items() if set(k) & set(gone)}
    assert not bucket.looked_at


def test_a_lost_receipt_leaves_its_objects_alone(finished):
    plan, tasks = finished
    bucket = filled(plan, tasks)
    bucket.delete([f"{RECEIPTS}/block-00001.json"])
    found = audit(plan, bucket)
    assert found.verdict.missing_tasks == ("block-00001",)
    assert found.verdict.pending == {"block-00001"}
    assert found.verdict.extra_objects == 0
    assert not found.verdict.complete


def test_receipts_of_another_layout_and_of_partial_tasks(finished):
    plan, tasks = finished
    bucket, keys = filled(plan, tasks), tasks["block-00000"]
    objects = [Written(k, 6, zlib.crc32(b"voxels"), bucket.objects[k][1]) for k in keys]
    partial = receipt_of(plan, "block-00000", objects, partial=True)
    bucket.put(f"{RECEIPTS}/block-00000.json", partial.to_json())
    other = Receipt("another", "block-00001", (), (), (), 1.0, 9, 1)
    bucket.put(f"{RECEIPTS}/block-00001.json", other.to_json())
    verdict = audit(plan, bucket).verdict
    assert verdict.partial_tasks == ("block-00000",)
    assert verdict.missing_tasks == ("block-00001",)
    assert not verdict.complete


def test_an_object_that_no_receipt_names_is_not_as_written(finished):
    plan, tasks = finished
    bucket, (first, second, *keys) = filled(plan, tasks), tasks["block-00000"]
    objects = [Written(k, 6, zlib.crc32(b"voxels"), bucket.objects[k][1]) for k in keys]
    bucket.put(f"{RECEIPTS}/block-00000.json", receipt_of(plan, "block-00000", objects).to_json())
    bucket.delete([first])
    verdict = audit(plan, bucket).verdict
    assert verdict.missing_objects.first == [first]
    assert verdict.corrupt_objects.first == [second]
    assert not verdict.complete


def test_a_listing_that_fails_is_no_empty_one(finished):
    class Failing(Bucket):
        def list(self, folder="", after=""):
            for at, one in enumerate(super().list(folder, after)):
                if at == 7 and folder == plan.stored(0)[0].folder:
                    raise StorageError("503")
                yield one

    plan, tasks = finished
    bucket = Failing()
    bucket.objects = filled(plan, tasks).objects
    with pytest.raises(StorageError, match="503"):
        audit(plan, bucket)


class Endless:
    """A finished volume whose listings and receipts are made when they are read."""

    local = False

    def __init__(self, plan):
        self.plan, self.names = plan, {s.key: Names(s) for s in plan.scales}

    def beside(self, suffix):
        assert not suffix
        return self

    def stored_name(self, key, _encoding):
        return key

    def list(self, folder="", after=""):
        if folder == RECEIPTS:
            for task in task_names(self.plan):
                yield StoredObject(f"{folder}/{task}.json", 50_000, "")
            return
        names = self.names[folder]
        first = bisect_right(names, after.removeprefix(f"{folder}/")) if after else 0
        for at in range(first, len(names)):
            yield StoredObject(f"{folder}/{names[at]}", 6, etag(names[at]))

    def get(self, key):
        task = key.rpartition("/")[2].removesuffix(".json")
        objects = (
            Written(f"{scale.key}/{name}", 6, 0, etag(name))
            for scale, box in self.plan.written_by(task)
            for name in self.names[scale.key].within(box)
        )
        return receipt_of(self.plan, task, objects).to_json()


def peak_of(blocks):
    """Return the number of objects of a volume, and the most memory that its audit holds."""
    plan = plan_of(sharded=False, blocks=blocks, side=128)
    volume = Endless(plan)
    tracemalloc.start()
    try:
        assert audit(plan, volume).verdict.complete
        return sum(listed(plan)), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_objects():
    few, less = peak_of(24)
    many, more = peak_of(96)
    assert many > 3.9 * few > 50_000
    # Names, sizes and ETags of a listing alone are about 300 bytes an object.
    assert more - less < 100 * (many - few)


def test_records_are_known_to_msgspec_before_threads_read_them():
    """It crashes if two threads meet a type for the first time together."""
    code = (
        "from zblocks.run.records import Failure, Receipt\n"
        "from zblocks.conversion.slice_stats import SliceStats\n"
        "assert all(hasattr(t, '__msgspec_cache__') for t in (Receipt, Failure, SliceStats))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
