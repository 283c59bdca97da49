"""Judges how a run ended, and builds its report."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from zblocks import __version__, host
from zblocks.neuroglancer import ViewedVolume
from zblocks.planning.bill import Prices, WorkerPool
from zblocks.planning.cost import WorkDone, actual, estimate
from zblocks.planning.missing import Hole, missing_holes
from zblocks.planning.plan import BlockTask, Plan, block_name
from zblocks.report.formats import plural
from zblocks.report.outliers import contrast, find_anomalies, spare_bits
from zblocks.report.run_report import Bills, FailedTask, Program, RunReport, TaskNumbers
from zblocks.run.audit import NAMED, Audit, Verdict
from zblocks.run.job import Job, read_tasks
from zblocks.run.records import Failure, Finished
from zblocks.run.start import Run
from zblocks.slices.slice_ref import SliceRef
from zblocks.storage import viewer_url


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    status: str  # `COMPLETE`, `PARTIAL` or `FAILED`
    holes: tuple[Hole, ...] = ()  # what failed tasks left out, with `allow_partial`
    problems: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()


def judge_run(
    plan: Plan,
    verdict: Verdict,
    failures: Sequence[Failure],
    error: str = "",
    *,
    allow_partial: bool = False,
) -> Outcome:
    """Judge a run by its audit and the records of failed tasks.

    `error` says why an earlier step failed, if it did; with `allow_partial`, failed blocks may
    become holes.
    """
    if verdict.complete:
        return Outcome("PARTIAL" if plan.damaged else "COMPLETE")
    problems, failed = _problems(verdict, failures), tuple(failures)
    holes = _holes(plan, verdict) if allow_partial else ()
    if holes:
        return Outcome("PARTIAL", holes, tuple(problems), failed)
    problems += [error] if error and not failures else []
    return Outcome("FAILED", problems=tuple(problems), failures=failed)


def to_blame(verdict: Verdict) -> tuple[str, ...]:
    """Return the missing blocks; if there are none, the missing coarse tasks, which need blocks."""
    missing = verdict.missing_tasks
    return tuple(t for t in missing if t.startswith("block-")) or missing


def _holes(plan: Plan, verdict: Verdict) -> tuple[Hole, ...]:
    """Return the boxes of failed tasks; none if all blocks failed or something else is wrong."""
    blocks = {block_name(i) for i in range(plan.blocks)}
    if verdict.invalid_tasks or blocks <= set(verdict.missing_tasks):
        return ()
    return tuple(
        Hole(scale.key, box)
        for task in verdict.missing_tasks
        for scale, box in plan.written_by(task)
    )


def _problems(verdict: Verdict, failures: Sequence[Failure]) -> list[str]:
    lines = [f.line for f in failures]
    reported = {f.task for f in failures}
    silent = [t for t in to_blame(verdict) if t not in reported]
    if silent:
        some = _some(silent[:NAMED], len(silent))
        lines.append(f"{plural(len(silent), 'task')} did not report: {some}")
    if not verdict.missing_tasks:
        bad = {"not there": verdict.missing_objects, "not as written": verdict.corrupt_objects}
        lines += [
            f"{k}: {plural(v.count, 'object')}, {_some(v.first, v.count)}"
            for k, v in bad.items()
            if v.count
        ]
    return lines


def _some(names: Sequence[str], count: int) -> str:
    return ", ".join(names) + (" …" if count > len(names) else "")


def build_report(
    job: Job, run: Run, config: Mapping[str, Any], found: Audit, outcome: Outcome
) -> RunReport:
    """Return the report of a run; `config` is as given, without secrets."""
    plan, finished, tasks = job.plan, found.finished, read_tasks(job.plan, job.target)
    slices = found.slices
    read = tuple(s for f in finished for s in f.read)
    shown, bits = contrast(plan, slices), spare_bits(plan, slices)
    published, volume = outcome.status != "FAILED", plan.volume
    resolution = volume.scales[0].resolution
    viewed = ViewedVolume(volume.layer, volume.format.channels, volume.box, resolution, shown)
    return RunReport(
        status=outcome.status,
        location=job.target.url,
        plan=plan,
        config=config,
        program=Program(__version__, platform.python_version(), run.execution, run.redrives),
        tasks=tuple(_numbers(f, plan.stack.file_share) for f in finished),
        slices=slices,
        read=read,
        anomalies=find_anomalies(plan, slices, read),
        contrast=shown,
        notes=(*plan.notes, *([bits] if bits else [])),
        bills=_bills(plan, run, config, tasks, finished),
        undone=frozenset((*found.verdict.missing_tasks, *found.verdict.invalid_tasks)),
        holes=(*missing_holes(plan), *outcome.holes) if published else (),
        problems=outcome.problems,
        failed=_failed(outcome, tasks),
        resume=run.resume if outcome.status != "COMPLETE" else "",
        links=_links(job, viewed) if published else {},
    )


def _links(job: Job, viewed: ViewedVolume) -> dict[str, str]:
    places = [(o, job.target.beside(o.suffix).url) for o in job.plan.outputs]
    return {output.name: output.link(viewed, viewer_url(url)) for output, url in places}


def _numbers(done: Finished, file_share: float) -> TaskNumbers:
    return TaskNumbers(
        task=done.task,
        seconds=done.seconds,
        peak_mb=done.peak_mb,
        tries=done.tries,
        objects=done.objects,
        bytes_written=done.bytes,
        bytes_read=round(sum(s.bytes for s in done.read) * file_share),
    )


def _failed(outcome: Outcome, tasks: Sequence[BlockTask]) -> tuple[FailedTask, ...]:
    failed = {f.task for f in outcome.failures}
    names = {
        t.name: tuple(PurePosixPath(s.key).name for s in t.slices if s.key)
        for t in tasks
        if t.name in failed
    }
    return tuple(
        FailedTask(f.task, (f.z0, f.z1), names.get(f.task, ()), f.error, f.line, f.tries)
        for f in outcome.failures
    )


def _bills(
    plan: Plan,
    run: Run,
    config: Mapping[str, Any],
    tasks: Sequence[BlockTask],
    finished: Sequence[Finished],
) -> Bills:
    prices, workers = Prices(), int(config.get("max_concurrency", 200))
    pool = WorkerPool(workers, host.architecture(), cloud=bool(run.execution))
    predicted = estimate(plan, tasks, pool, prices)
    return Bills(
        where="cloud" if pool.cloud else "one machine",
        prices=f"{prices.region}, {prices.date}, before free tiers",
        predicted=predicted.bill,
        actual=actual(plan, tasks, _work_done(tasks, finished), pool, prices),
        predicted_task_seconds=predicted.busy_s,
        month=predicted.month,
    )


def _work_done(tasks: Sequence[BlockTask], finished: Sequence[Finished]) -> WorkDone:
    kinds = {r.key: r for t in tasks for s in t.slices for r in s.reads}
    read = (s for f in finished for s in f.read)
    return WorkDone(
        blocks=len({f.task for f in finished if f.task.startswith("block-")}),
        tasks=len(finished),
        seconds=sum(f.seconds for f in finished),
        objects=sum(f.objects for f in finished),
        retries=sum(f.retries for f in finished),
        read=tuple(kinds.get(s.key, SliceRef(s.z, s.key, s.bytes)) for s in read),
    )
