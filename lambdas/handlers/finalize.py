"""The end of an execution: publish the volume, or say which blocks are missing and why.

An execution that failed so and is redriven begins here again; it is sent back to its blocks.
"""

from typing import Any

from aws_lambda_powertools.metrics import Metrics, MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from handlers import logger
from zblocks.errors import IncompleteVolume
from zblocks.finalize import finalize, go_on
from zblocks.prepare import Run
from zblocks.second_reader import compare_samples
from zblocks.workplace import open_workplace

metrics = Metrics(namespace="zblocks", service="zblocks")


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, str]:
    """Check everything, then publish; raises IncompleteVolume when something is missing."""
    work, execution = open_workplace(event["destination"]), event["execution"]
    run = Run(
        execution,
        resume=f"aws stepfunctions redrive-execution --execution-arn {execution}",
        redrives=event.get("redrive") or 0,
    )
    if go_on(work, run):
        metrics.add_metric(name="Redrives", unit=MetricUnit.Count, value=1)
        return {"status": "AGAIN"}
    try:
        ending = finalize(work, run, caught(event), second_reader=compare_samples)
    except IncompleteVolume:
        metrics.add_metric(name="VolumesFailed", unit=MetricUnit.Count, value=1)
        raise
    metrics.add_metric(name="VolumesPublished", unit=MetricUnit.Count, value=1)
    logger.info("volume published", location=ending.location)
    return {
        "status": ending.status,
        "location": ending.location,
        "link": ending.link,
        "report": ending.report,
        "page": ending.page,
    }


def caught(event: dict[str, Any]) -> str:
    """Give what Step Functions caught as one line; empty when nothing failed."""
    error = event.get("error") or {}
    return f"{error['Error']}: {error.get('Cause', '')}" if error else ""
