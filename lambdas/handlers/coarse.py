"""The scales that no z-block owns, made from the last finer one that is stored."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from handlers import logger
from zblocks.convert import convert_coarse
from zblocks.workplace import open_workplace


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, str]:
    """Do the coarse task number `index` of the plan at `destination`; return its receipt's key."""
    work = open_workplace(event["destination"])
    task = work.plan.coarse[event["index"]]
    receipt = convert_coarse(work, task, allow_holes=event["allow_partial"])
    logger.info("scales converted", receipt=receipt, destination=event["destination"])
    return {"receipt": receipt}
