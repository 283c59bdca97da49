"""The function of every size of workers: converts a z-block, or makes a part of coarser scales.

Its task is an item of the Distributed Map. An event with `error`, which Step Functions caught, is
only recorded: a killed worker can't do that.
"""

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from handlers import logger, metrics, retries_of
from zblocks.host import peak_mb
from zblocks.planning.plan import BlockTask, CoarseTask, task_name
from zblocks.run.attempt import attempt_block, attempt_coarse, note_failure
from zblocks.run.job import Job, open_job, read_block_task


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, str]:
    """Do the task `item` of the plan at `destination`; return its receipt's key."""
    ((kind, index),) = event["item"].items()
    # `execution` is the whole run's: the map's children have ids of their own.
    logger.append_keys(execution=event.get("execution"), block=task_name(kind, index))
    try:
        job = open_job(event["destination"], run=event.get("execution") or "")
        coarse = kind == "coarse"
        task = job.plan.coarse[index] if coarse else read_block_task(job, index)
        if error := event.get("error"):
            return note(job, task, error)
        return convert(job, task, event)
    finally:
        metrics.add_metric(name="PeakMemory", unit=MetricUnit.Megabytes, value=peak_mb())


def convert(job: Job, task: BlockTask | CoarseTask, event: dict[str, Any]) -> dict[str, str]:
    """Do a task, unless it has a receipt already; count blocks."""
    kind = kind_of(task)
    # Lambda's own lines about a killed worker have its request id only; this line has both.
    logger.info(f"{kind} begun", destination=job.target.url)
    voxels: list[int] = []
    if isinstance(task, BlockTask):
        receipt = attempt_block(job, task, voxels.append, retries_of(event))
    else:
        holes = event["allow_partial"]
        receipt = attempt_coarse(job, task, allow_holes=holes, retries=retries_of(event))
    if voxels:
        metrics.add_metric(name="BlocksDone", unit=MetricUnit.Count, value=1)
        metrics.add_metric(name="Voxels", unit=MetricUnit.Count, value=sum(voxels))
    logger.info(f"{kind} converted", receipt=receipt, voxels=sum(voxels))
    return {"receipt": receipt}


def kind_of(task: BlockTask | CoarseTask) -> str:
    """Return what logs call a task."""
    return "block" if isinstance(task, BlockTask) else "part"


def note(job: Job, task: BlockTask | CoarseTask, error: dict[str, str]) -> dict[str, str]:
    """Record why a task failed for good."""
    note_failure(job, task, error["Error"], error.get("Cause", ""))
    if isinstance(task, BlockTask):
        metrics.add_metric(name="BlocksFailed", unit=MetricUnit.Count, value=1)
    logger.error(f"{kind_of(task)} failed", error=error["Error"], cause=error.get("Cause", ""))
    return {"failed": task.name}
