"""One z-block: an item of the Distributed Map becomes finished chunks and a receipt.

Called with `error`, what Step Functions caught of an earlier call, it only writes that down: a
worker that was killed can't.
"""

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from handlers import logger, metrics
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
        job = open_job(event["destination"])
        if error := event.get("error"):
            return note(job, task, error)
        return convert(job, task)
    finally:
        metrics.add_metric(name="PeakMemory", unit=MetricUnit.Megabytes, value=peak_mb())


def convert(job: Job, task: BlockTask) -> dict[str, str]:
    """Convert a block and count it; one whose receipt stands already isn't counted again."""
    # Of a worker that is killed, Lambda's own lines have the request id only: this one joins both.
    logger.info("block begun", destination=job.target.url)
    voxels: list[int] = []
    receipt = attempt_block(job, task, voxels.append)
    if voxels:
        metrics.add_metric(name="BlocksDone", unit=MetricUnit.Count, value=1)
        metrics.add_metric(name="Voxels", unit=MetricUnit.Count, value=sum(voxels))
    logger.info("block converted", receipt=receipt, voxels=sum(voxels))
    return {"receipt": receipt}


def note(job: Job, task: BlockTask, error: dict[str, str]) -> dict[str, str]:
    """Write down why a block failed for good."""
    note_failure(job, task, error["Error"], error.get("Cause", ""))
    metrics.add_metric(name="BlocksFailed", unit=MetricUnit.Count, value=1)
    logger.error("block failed", error=error["Error"], cause=error.get("Cause", ""))
    return {"failed": task.name}
