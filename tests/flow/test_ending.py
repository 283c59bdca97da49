"""The order of a run's end: audit, provenance, info, report; and what a failure in between leaves.

A volume without `info` doesn't exist for a viewer, so a report must not call it complete before.
"""

from __future__ import annotations

import dataclasses
import json

import pytest

from tests.flow.conftest import textured, write_stack
from tests.flow.inprocess import do_all, start
from zblocks.config import Config
from zblocks.errors import IncompleteVolume, StorageError
from zblocks.planning.stores import open_stores
from zblocks.planning.time import WorkerSpec
from zblocks.precomputed.info import INFO, PROVENANCE
from zblocks.precomputed.segment_properties import DOCUMENT
from zblocks.run import lock
from zblocks.run.attempt import attempt_block, attempt_coarse
from zblocks.run.finalize import finalize
from zblocks.run.job import LOCK, PAGE, RECEIPTS, REPORT, open_job
from zblocks.run.start import Run, prepare
from zblocks.storage import Store

PUBLISHED = ("COMPLETE", "PARTIAL")


class Recorder(Store):
    """A store that writes down what is done to it, and fails at the put of one key."""

    def __init__(self, store, failing=""):
        self.__dict__ |= store.__dict__
        self.failing, self.log = failing, []

    def put(self, key, data, *rest):
        self.log.append(key)
        if key == self.failing:
            raise StorageError(f"{key}: 503")
        if key == REPORT and json.loads(data)["status"] in PUBLISHED:
            assert self.head(INFO) is not None
        return super().put(key, data, *rest)

    def list(self, folder="", after=""):
        self.log.append(f"list {folder}")
        return super().list(folder, after)

    def delete(self, keys):
        keys = list(keys)
        self.log += [f"delete {key}" for key in keys]
        super().delete(keys)


@pytest.fixture
def begun(tmp_path, write_config):
    """A function: plans a stack of three blocks and converts all but some; the job."""

    def begin(leave_out=(), **fields):
        write_stack(tmp_path / "in", textured((150, 40, 50, 1), "uint8"))
        prepared = start(Config.load(write_config(**fields)))
        job = open_job(prepared.plan.destination)
        for task in prepared.pending:
            if task.index not in leave_out:
                attempt_block(job, task)
        if not leave_out or fields.get("allow_partial"):
            for task in job.plan.coarse:
                attempt_coarse(job, task, allow_holes=bool(leave_out))
        return job

    return begin


def recorded(job, failing=""):
    return dataclasses.replace(job, target=Recorder(job.target, failing))


def report_of(job):
    return json.loads(job.target.get(REPORT))


def test_the_volume_is_audited_then_described_then_published_then_reported(begun):
    job = recorded(begun())
    assert finalize(job, Run()).status == "COMPLETE"
    log = job.target.log
    steps = [f"list {RECEIPTS}", PROVENANCE, INFO, REPORT, f"delete {LOCK}"]
    assert [line for line in log if line in steps] == steps
    assert set(log) - {line for line in log if line.startswith("list ")} == {
        PROVENANCE,
        INFO,
        PAGE,
        REPORT,
        f"delete {LOCK}",
    }
    assert log.index(PAGE) < log.index(REPORT)  # which has its url
    assert report_of(job)["status"] == "COMPLETE"


def test_names_of_labels_are_there_before_the_info_that_names_them(begun):
    names = {"layer_type": "segmentation", "segment_names": {"7": "seven"}}
    job = recorded(begun(**names))
    finalize(job, Run())
    assert job.target.log.index(DOCUMENT) < job.target.log.index(INFO)


def test_holes_are_declared_before_the_volume_is_published(begun):
    job = recorded(begun(leave_out={1}, allow_partial=True))
    assert finalize(job, Run()).status == "PARTIAL"
    puts = [line for line in job.target.log if line in (PROVENANCE, INFO, REPORT)]
    assert puts == [PROVENANCE, INFO, REPORT]
    assert report_of(job)["holes"] == json.loads(job.target.get(PROVENANCE))["holes"] != []


def test_a_volume_that_lacks_a_block_gets_a_report_and_nothing_else(begun):
    job = recorded(begun(leave_out={1}))
    with pytest.raises(IncompleteVolume, match="block-00001"):
        finalize(job, Run())
    puts = {line for line in job.target.log if not line.startswith(("list ", "delete "))}
    assert puts == {PAGE, REPORT}
    assert report_of(job)["status"] == "FAILED"
    assert job.target.log[-1] == f"delete {LOCK}"


@pytest.mark.parametrize("failing", [PROVENANCE, INFO, PAGE, REPORT])
@pytest.mark.parametrize("partial", [False, True])
def test_a_store_that_fails_at_the_end_leaves_no_false_report(begun, failing, partial):
    """Never a report of a volume that isn't there; the next run ends it."""
    job = recorded(begun(leave_out={1} if partial else (), allow_partial=partial), failing)
    with pytest.raises(StorageError):
        finalize(job, Run())
    assert (job.target.head(INFO) is None) == (failing in (PROVENANCE, INFO))
    assert job.target.head(REPORT) is None
    assert job.target.head(LOCK) is None
    job = recorded(job)
    lock.acquire(job.target, "")
    ending = finalize(job, Run())
    assert ending.status == report_of(job)["status"] == ("PARTIAL" if partial else "COMPLETE")
    assert job.target.head(INFO) is not None


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_report_of_an_earlier_run_is_gone_before_its_volume_is(begun, write_config, overwrite):
    """A finished volume is replaced, or lacks a receipt; the new run fails at info."""
    job = begun()
    finalize(job, Run())
    assert report_of(job)["status"] == "COMPLETE"
    job.target.delete([f"{RECEIPTS}/block-00001.json"])
    config = Config.load(write_config(overwrite=overwrite))
    recorder = Recorder(job.target)
    stores = dataclasses.replace(open_stores(config), target=recorder)
    prepared = prepare(config, stores, [WorkerSpec(2000)], Run())
    gone = [line for line in recorder.log if line in (f"delete {REPORT}", f"delete {INFO}")]
    assert gone == [f"delete {REPORT}", f"delete {INFO}"]
    do_all(job, prepared.pending)
    with pytest.raises(StorageError):
        finalize(recorded(job, INFO), Run())
    assert job.target.head(REPORT) is job.target.head(PAGE) is None
