"""Makes a part of the scales that z-blocks are too thin for, from the finer one."""

from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from handlers import logger, metrics, retries_of
from zblocks.host import peak_mb
from zblocks.run.attempt import attempt_coarse
from zblocks.run.job import open_job


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, str]:
    """Do coarse task `index` of the plan at `destination`; return its receipt's key."""
    logger.append_keys(execution=event.get("execution"))
    try:
        job = open_job(event["destination"], run=event.get("execution") or "")
        task = job.plan.coarse[event["index"]]
        logger.append_keys(block=task.name)
        logger.info("scales begun", destination=event["destination"])
        holes, retries = event["allow_partial"], retries_of(event)
        receipt = attempt_coarse(job, task, allow_holes=holes, retries=retries)
    finally:
        metrics.add_metric(name="PeakMemory", unit=MetricUnit.Megabytes, value=peak_mb())
    logger.info("scales converted", receipt=receipt)
    return {"receipt": receipt}
