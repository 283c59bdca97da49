"""Ends an execution: publishes the volume, or says which blocks are missing and why.

A redriven execution starts here again, and is sent back to its blocks. That is also why the event
of a failure is sent from here: a state that sends it would have to precede a Fail state, where the
redrive would then start.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from handlers import logger, metrics
from handlers.sizes import a_round
from zblocks.errors import IncompleteVolume
from zblocks.run.cross_check import compare_samples
from zblocks.run.finalize import (
    add_access_problems,
    declare_damaged,
    finalize,
    refuse_other_plan,
    resume_after_redrive,
)
from zblocks.run.job import REPORT, Job, open_job
from zblocks.run.records import with_advice
from zblocks.run.start import Run
from zblocks.view.public_access import output_problems

REDRIVABLE = timedelta(days=14)


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Check everything, then publish; raises IncompleteVolume if something is missing."""
    execution = event["execution"]
    logger.append_keys(execution=execution, destination=event["destination"])
    job = open_job(event["destination"], run=execution)
    refuse_other_plan(job, event["volume_id"])
    run = Run(
        execution,
        resume=redrive(execution, datetime.now(UTC)),
        redrives=event.get("redrive") or 0,
    )
    blocks = resume_after_redrive(job, run)
    if blocks is not None:
        metrics.add_metric(name="Redrives", unit=MetricUnit.Count, value=1)
        logger.info("redriven", blocks=blocks)
        return {"status": "REDRIVE", "round": a_round(job.plan, blocks)}
    if again := declare_damaged(job):
        metrics.add_metric(name="Redrives", unit=MetricUnit.Count, value=1)
        logger.info("damaged slices are missing from here on", blocks=len(again))
        return {"status": "REDRIVE", "round": a_round(job.plan, len(again))}
    try:
        ending = finalize(job, run, caught(event), second_reader=compare_samples)
    except IncompleteVolume as error:
        tell_failure(job, run, str(error))
        raise
    problems = output_problems(ending.location, job.plan.outputs)
    ending = add_access_problems(job.target, ending, problems)
    metrics.add_metric(name="VolumesPublished", unit=MetricUnit.Count, value=1)
    logger.info(
        "volume published", location=ending.location, access_problems=ending.access_problems
    )
    names = ("status", "location", "link", "report", "page")
    result: dict[str, str] = {name: getattr(ending, name) for name in names}
    announce("Volume published", result, execution)
    return result


def redrive(execution: str, ended: datetime) -> str:
    """Return the command that continues an execution, and until when Step Functions takes it."""
    command = f"aws stepfunctions redrive-execution --execution-arn {execution}"
    last = ended + REDRIVABLE
    return f"{command}  # before {last:%Y-%m-%d}; from then on, start the same config again"


def tell_failure(job: Job, run: Run, reason: str) -> None:
    """Log, count and announce a failed volume."""
    metrics.add_metric(name="VolumesFailed", unit=MetricUnit.Count, value=1)
    logger.error("volume failed", error=reason)
    detail = {
        "status": "FAILED",
        "location": job.target.url,
        "report": f"{job.target.url}/{REPORT}",
        "reason": reason,
        "resume": run.resume,
    }
    announce("Volume failed", detail, run.execution)


def announce(kind: str, detail: dict[str, str], execution: str) -> None:
    """Send an event to the account's default bus; if that fails, only log it."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    entry = {
        "Source": "zblocks",
        "DetailType": kind,
        "Detail": json.dumps({**detail, "execution": execution}),
        "Resources": [execution],
    }
    patience = Config(connect_timeout=5, read_timeout=5, retries={"total_max_attempts": 3})
    try:
        reply = boto3.client("events", config=patience).put_events(Entries=[entry])
    except (BotoCoreError, ClientError) as error:
        logger.warning("event not sent", kind=kind, error=str(error))
        return
    if reply["FailedEntryCount"]:
        logger.warning("event not sent", kind=kind, error=reply["Entries"][0])


def caught(event: dict[str, Any]) -> str:
    """Return the error that Step Functions caught, with advice; empty if there is none."""
    error = event.get("error")
    if not error:
        return ""
    return with_advice(error["Error"], f"{error['Error']}: {error.get('Cause', '')}")
