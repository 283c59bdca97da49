"""Damaged slices in an execution: Finalize sends it back to its blocks once, without them."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from handlers import finalize, plan, worker
from tests.field.test_damaged_slices import cut, noise, pillow
from tests.map_items import coarse_items, items_of
from tests.references import read_tensorstore
from zblocks.errors import IncompleteVolume, SliceError, SourceChanged
from zblocks.run.attempt import attempt_block
from zblocks.run.job import open_job, read_block_task
from zblocks.storage import open_store

CONTEXT = SimpleNamespace(
    function_name="zblocks",
    memory_limit_in_mb=1769,
    invoked_function_arn="arn:aws:lambda:us-east-1:111122223333:function:zblocks",
    aws_request_id="1",
)
EXECUTION = "arn:aws:states:us-east-1:111122223333:execution:zblocks:run-1"


class Machine:
    """The state machine's part, by hand."""

    def __init__(self, job):
        self.state = plan.handler({"input": job, "execution": EXECUTION}, CONTEXT)
        self.store = open_store(job["destination"])
        self.seen = []
        """Every event of a block."""

    def convert(self):
        """Do what the map does, then the coarser scales; return which blocks were pending."""
        items = items_of(self.state)
        for item in items:
            event = {k: self.state[k] for k in ("destination", "execution")} | {"item": item}
            self.seen.append(event)
            try:
                worker.handler(event, CONTEXT)
            except SliceError as error:
                cause = json.dumps({"errorType": type(error).__name__, "errorMessage": str(error)})
                failed = {"Error": type(error).__name__, "Cause": cause}
                worker.handler(event | {"error": failed}, CONTEXT)
        for item in coarse_items(self.state):
            event = {k: self.state[k] for k in ("destination", "execution", "allow_partial")}
            try:
                worker.handler(event | {"item": item}, CONTEXT)
            except IncompleteVolume:
                break
        return [item["block"] for item in items]

    def end(self, redrive=0):
        event = {k: self.state[k] for k in ("destination", "execution", "volume_id")}
        return finalize.handler(event | {"redrive": redrive, "error": {}}, CONTEXT)

    @property
    def job(self):
        """The job as a worker opens it."""
        return open_job(self.state["destination"], run=EXECUTION)

    def document(self, key):
        return json.loads(self.store.get(key))


@pytest.fixture
def job(tmp_path, cloud, monkeypatch):
    """A function: a stack of three blocks in a bucket with some bad slices; its config."""
    monkeypatch.setenv("ZBLOCKS_DESTINATION_BUCKET", "volumes")
    monkeypatch.setenv("ZBLOCKS_WORKER_MEMORY_MB", "3008")

    def put(bad, **fields):
        for z in range(150):
            data = pillow("PNG")(noise(z))
            cloud.put("slices", f"s/s_{z:03d}.png", cut(data) if z in bad else data)
        return {
            "source": "s3://slices/s",
            "destination": f"s3://volumes/{tmp_path.name}",
            "voxel_resolution": [4, 4, 40],
            **fields,
        }

    return put


REDRIVEN = {
    "status": "REDRIVE",
    "round": {"worker": "zblocks-worker-3008", "next": 0, "error": {}},
}
"""What sends an execution back to its blocks."""


def voxels(cloud, machine):
    bucket, _, folder = machine.state["destination"].removeprefix("s3://").partition("/")
    store = {"driver": "s3", "bucket": bucket, "path": f"{folder}/", "endpoint": cloud.endpoint}
    return read_tensorstore(store | {"aws_region": "us-east-1"}, machine.document("info"))[0][
        ..., 0
    ]


@pytest.mark.parametrize("policy", [{"damaged": "missing"}, {"allow_partial": True}])
def test_an_execution_goes_back_to_its_blocks_once(job, cloud, policy):
    machine = Machine(job({63, 100}, missing="nearest", **policy))
    assert machine.convert() == [0, 1, 2]
    assert machine.end() == REDRIVEN
    assert len(items_of(machine.state)) == 2
    assert machine.convert() == [0, 1]
    ending = machine.end()
    assert ending["status"] == "PARTIAL"
    expected = [noise({63: 62, 100: 99}.get(z, z)) for z in range(150)]
    np.testing.assert_array_equal(voxels(cloud, machine), expected)
    report = machine.document(".zblocks/report.json")
    assert [f["z"] for f in report["filled_slices"]] == [63, 100]
    assert "failed" not in report


def test_events_that_are_delivered_again_change_nothing(job, cloud):
    machine = Machine(job({100}, damaged="missing"))
    machine.convert()
    stale = list(machine.seen)
    with pytest.raises(SliceError):
        worker.handler(stale[1], CONTEXT)  # again, before Finalize
    planned = read_block_task(machine.job, 1)
    assert machine.end() == REDRIVEN
    assert len(items_of(machine.state)) == 1
    chunks = {o.key: o.modified for o in machine.store.list("4_4_40")}
    with pytest.raises(SourceChanged, match="z 100 was found damaged"):
        attempt_block(machine.job, planned)  # read the slices before these were declared missing
    assert {o.key: o.modified for o in machine.store.list("4_4_40")} == chunks
    worker.handler(stale[1], CONTEXT)  # late: the block is due, without that slice
    machine.convert()
    before = {o.key: (o.bytes, o.etag) for o in machine.store.list()}
    for event in (*stale, *machine.seen):
        worker.handler(event, CONTEXT)
    assert {o.key: (o.bytes, o.etag) for o in machine.store.list()} == before
    assert machine.end()["status"] == "PARTIAL"


def test_all_slices_damaged_end_the_execution(job):
    machine = Machine(job(range(150), damaged="missing"))
    machine.convert()
    with pytest.raises(IncompleteVolume, match=r"s_000\.png"):
        machine.end()


def test_a_mended_slice_in_a_bucket_redoes_its_block(job, cloud):
    machine = Machine(job({100}, damaged="missing"))
    machine.convert()
    machine.end()
    machine.convert()
    assert machine.end()["status"] == "PARTIAL"
    again = Machine(job((), damaged="missing", overwrite=True))
    assert not again.store.head("info")
    assert again.convert() == [1]
    assert again.end()["status"] == "COMPLETE"
    np.testing.assert_array_equal(voxels(cloud, again), [noise(z) for z in range(150)])
