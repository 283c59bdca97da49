"""Converts one z-block, an item of the Distributed Map.

An event with `error`, which Step Functions caught, is only recorded: a killed worker can't do that.
"""

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from handlers import logger, metrics, retries_of
from zblocks.host import peak_mb
from zblocks.planning.plan import BlockTask, task_from_item
from zblocks.run.attempt import attempt_block, note_failure
from zblocks.run.job import Job, open_job


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, str]:
    """Convert the block `item` of the plan at `destination`; return its receipt's key."""
    task = task_from_item(event["item"])
    # `execution` is the whole run's: the map's children have ids of their own.
    logger.append_keys(execution=event.get("execution"), block=task.name)
    try:
        job = open_job(event["destination"], run=event.get("execution") or "")
        if error := event.get("error"):
            return note(job, task, error)
        return convert(job, task, retries_of(event))
    finally:
        metrics.add_metric(name="PeakMemory", unit=MetricUnit.Megabytes, value=peak_mb())


def convert(job: Job, task: BlockTask, retries: int) -> dict[str, str]:
    """Convert a block and count it, unless it has a receipt already."""
    # Lambda's own lines about a killed worker have its request id only; this line has both.
    logger.info("block begun", destination=job.target.url)
    voxels: list[int] = []
    receipt = attempt_block(job, task, voxels.append, retries)
    if voxels:
        metrics.add_metric(name="BlocksDone", unit=MetricUnit.Count, value=1)
        metrics.add_metric(name="Voxels", unit=MetricUnit.Count, value=sum(voxels))
    logger.info("block converted", receipt=receipt, voxels=sum(voxels))
    return {"receipt": receipt}


def note(job: Job, task: BlockTask, error: dict[str, str]) -> dict[str, str]:
    """Record why a block failed for good."""
    note_failure(job, task, error["Error"], error.get("Cause", ""))
    metrics.add_metric(name="BlocksFailed", unit=MetricUnit.Count, value=1)
    logger.error("block failed", error=error["Error"], cause=error.get("Cause", ""))
    return {"failed": task.name}
