"""What a run does at its destination, as a table: decided from values alone."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest

from tests.plans import a_stack, chunk_format
from zblocks.conversion.tasks import read_slices
from zblocks.errors import DestinationConflict, DoesNotFit, SourceChanged
from zblocks.planning.planner import make_plan
from zblocks.planning.time import WorkerSpec
from zblocks.run.audit import Audit, Verdict, task_names
from zblocks.run.decide import Destination, Planned, decide
from zblocks.run.records import Finished

WORKER, SMALL = WorkerSpec(4000), WorkerSpec(106)
STACK = a_stack((197, 233, 189))
MENDED = dataclasses.replace(
    STACK,
    slices=tuple(
        msgspec.structs.replace(s, etag="mended") if s.z == 70 else s for s in STACK.slices
    ),
)


def planned(stack, worker=WORKER):
    return Planned(*make_plan(stack, worker))


NEW, CHANGED = planned(STACK), planned(MENDED)
OTHER = planned(a_stack((197, 233, 189), voxels=chunk_format(compression="none")))
FOR_SMALL = planned(STACK, SMALL)
NAMED = planned(dataclasses.replace(STACK, segment_properties="segment_properties"))
BLOCKS = ("block-00000", "block-00001", "block-00002")
ALL = {*BLOCKS, "coarse-00000"}


def audit_of(present, done):
    """Return the audit where these tasks have receipts, and all their objects are there."""
    slices = {t.name: t.slices for t in present.tasks}
    finished = tuple(
        Finished(name, 0, 0, read_slices(slices.get(name, ())), 1.0, 9, 1) for name in done
    )
    missing = tuple(name for name in task_names(present.plan) if name not in done)
    return Audit(finished, Verdict(missing))


def at(present=None, done=(), *, finished=False, **fields):
    """Return a destination with the plan `present`, of which the tasks `done` are done."""
    audit = audit_of(present, done) if present else None
    return Destination("file:///b", present, finished, audit=audit, **fields)


@pytest.mark.parametrize(
    ("there", "new", "overwrite", "action", "pending"),
    [
        # nothing there
        (at(), NEW, False, "begin", ALL),
        (at(), NEW, True, "begin", ALL),
        # this volume, unfinished: what is done is kept, also with overwrite
        (at(NEW), NEW, False, "resume", ALL),
        (at(NEW, BLOCKS[:2]), NEW, False, "resume", {BLOCKS[2], "coarse-00000"}),
        (at(NEW, BLOCKS[:2]), NEW, True, "resume", {BLOCKS[2], "coarse-00000"}),
        # all done but not yet published
        (at(NEW, ALL), NEW, False, "resume", set()),
        # finished: the same again converts nothing; with overwrite everything
        (at(NEW, ALL, finished=True), NEW, False, "resume", set()),
        (at(NEW, ALL, finished=True), NEW, True, "begin", ALL),
        # finished, but a receipt is lost
        (at(NEW, ALL - {BLOCKS[1]}, finished=True), NEW, False, "resume", {BLOCKS[1]}),
        # only names of labels differ: they are no part of the volume's identity
        (at(NEW, BLOCKS[:2]), NAMED, False, "resume", {BLOCKS[2], "coarse-00000"}),
        # slices were mended, and that is allowed: their block again, and what is made from it
        (at(NEW, ALL), CHANGED, True, "renew", {BLOCKS[1], "coarse-00000"}),
        (at(NEW, BLOCKS[:2]), CHANGED, True, "renew", {*BLOCKS[1:], "coarse-00000"}),
        # finished with the old slices: as when it isn't finished
        (at(NEW, ALL, finished=True), CHANGED, True, "renew", {BLOCKS[1], "coarse-00000"}),
        # another volume, or no volume of ours, to be replaced
        (at(OTHER, ALL, finished=True), NEW, True, "begin", ALL),
        (at(OTHER, BLOCKS), NEW, True, "begin", ALL),
        (at(other_version="by another version"), NEW, True, "begin", ALL),
        (at(other_object="holiday.jpg"), NEW, True, "begin", ALL),
        # the list of tasks is gone: nothing to go on with
        (dataclasses.replace(at(NEW, ALL), audit=None), NEW, False, "begin", ALL),
    ],
)
def test_what_is_done(there, new, overwrite, action, pending):
    decision = decide(there, new, [WORKER], overwrite=overwrite)
    assert decision.refusal is None
    assert (decision.action, decision.pending) == (action, pending)
    assert (decision.plan, decision.tasks) == (new.plan, new.tasks)
    assert decision.previous == (there.present.plan if there.present else None)
    assert {t.name for t in decision.pending_blocks} == pending & set(BLOCKS)


@pytest.mark.parametrize(
    ("there", "new", "error", "words"),
    [
        (at(other_object="holiday.jpg"), NEW, DestinationConflict, "already holds holiday.jpg"),
        (at(other_version="by another version"), NEW, DestinationConflict, "by another version"),
        (at(OTHER, ALL), NEW, DestinationConflict, r"volume \(compression none, now gzip\)"),
        (at(OTHER, ALL, finished=True), NEW, DestinationConflict, "a different volume"),
        (at(NEW, BLOCKS), CHANGED, SourceChanged, r"s70 \(z 70\) changed after"),
        # finished: it isn't continued, so it is another volume
        (
            at(NEW, ALL, finished=True),
            CHANGED,
            DestinationConflict,
            r"not the same .* s70 \(z 70\)",
        ),
    ],
)
def test_what_is_refused(there, new, error, words):
    refusal = decide(there, new, [WORKER], overwrite=False).refusal
    assert isinstance(refusal, error)
    with pytest.raises(error, match=words):
        raise refusal
    assert decide(there, new, [WORKER], overwrite=True).refusal is None


def test_blocks_planned_for_other_workers_are_kept():
    """Theirs are smaller: what they have done is worth more than larger blocks."""
    assert FOR_SMALL.plan.volume_id == NEW.plan.volume_id
    assert FOR_SMALL.plan.layout_id != NEW.plan.layout_id
    done = [t.name for t in FOR_SMALL.tasks[1:]]
    decision = decide(at(FOR_SMALL, done), NEW, [WORKER], overwrite=False)
    assert (decision.action, decision.refusal) == ("resume", None)
    assert (decision.plan, decision.tasks) == (FOR_SMALL.plan, FOR_SMALL.tasks)
    assert decision.pending_blocks == FOR_SMALL.tasks[:1]


def test_workers_that_are_too_small_to_continue_are_refused_or_begin_anew():
    there = at(NEW, BLOCKS[:1])
    refused = decide(there, FOR_SMALL, [SMALL], overwrite=False)
    assert isinstance(refused.refusal, DoesNotFit)
    enough = WorkerSpec.needed_mb(NEW.plan.predicted_peak_mb)
    assert f"need workers of {enough} MiB" in str(refused.refusal)
    assert decide(there, NEW, [WorkerSpec(enough)], overwrite=False).refusal is None
    begun = decide(there, FOR_SMALL, [SMALL], overwrite=True)
    assert (begun.action, begun.refusal, begun.plan) == ("begin", None, FOR_SMALL.plan)
    assert set(begun.pending) == set(task_names(FOR_SMALL.plan))


def test_names_of_labels_are_those_of_this_run():
    there = at(FOR_SMALL, ())
    decision = decide(there, NAMED, [WORKER], overwrite=False)
    assert decision.plan.volume.segment_properties == "segment_properties"
    assert decision.plan.layout_id == FOR_SMALL.plan.layout_id


def test_deciding_changes_nothing():
    there, before = at(NEW, BLOCKS[:2]), at(NEW, BLOCKS[:2])
    first = decide(there, NEW, [WORKER], overwrite=False)
    assert decide(there, NEW, [WORKER], overwrite=False) == first
    assert there == before
