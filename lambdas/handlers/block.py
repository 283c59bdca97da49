"""One z-block: an item of the Distributed Map becomes finished chunks and a receipt.

Called with `error`, what Step Functions caught of an earlier call, it only writes that down: a
worker that was killed can't.
"""

from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from handlers import logger
from zblocks.convert import convert_block
from zblocks.perform import note_failure
from zblocks.plan import task_from_json
from zblocks.workplace import open_workplace


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, str]:
    """Convert the block `item` of the plan at `destination`; return its receipt's key."""
    task, work = task_from_json(event["item"]), open_workplace(event["destination"])
    if error := event.get("error"):
        note_failure(work, task, error["Error"], error.get("Cause", ""))
        return {"failed": task.name}
    receipt = convert_block(work, task)
    logger.info("block converted", receipt=receipt, destination=event["destination"])
    return {"receipt": receipt}
