"""The function of every size of workers: a z-block, or a part of the coarser scales."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from handlers import block, coarse


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, str]:
    """Do the task of an event: that of Coarsen has an `index`."""
    result: dict[str, str] = (coarse if "index" in event else block).handler(event, context)
    return result
