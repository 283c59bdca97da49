"""One z-block: an item of the Distributed Map becomes finished chunks and a receipt."""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from handlers import logger
from zblocks.convert import convert_block
from zblocks.plan import task_from_json
from zblocks.workplace import open_workplace


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, str]:
    """Convert the block `item` of the plan at `destination`; return its receipt's key."""
    task = task_from_json(event["item"])
    receipt = convert_block(open_workplace(event["destination"]), task)
    logger.info("block converted", receipt=receipt, destination=event["destination"])
    return {"receipt": receipt}
