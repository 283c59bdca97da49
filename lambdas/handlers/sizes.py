"""The deployed sizes of workers, and which of them an execution calls for its tasks."""

import os
from typing import Any

from handlers import SERVICE
from zblocks.errors import DoesNotFit
from zblocks.planning.plan import Plan
from zblocks.planning.time import WorkerSpec
from zblocks.run.cloud.executions import SIZES


def deployed() -> list[WorkerSpec]:
    """Return the deployed sizes, the smallest first."""
    return [WorkerSpec.on_lambda(int(mb)) for mb in os.environ[SIZES].split(",")]


def a_round(plan: Plan, blocks: int) -> dict[str, Any]:
    """Return what of an execution's state is new each time that it goes to its tasks.

    `next` is the number of the first stage; that of the blocks, 0, is left out if none is due:
    what a Distributed Map does with an empty list is written nowhere.
    """
    return {"worker": worker_of(plan), "next": 0 if blocks else 1, "error": {}}


def worker_of(plan: Plan) -> str:
    """Return the name of the smallest deployed function that is as large as a plan's workers.

    It is larger if the stack was deployed with other sizes since.

    Raises:
        DoesNotFit: all are smaller.
    """
    sizes = [worker.memory_mb for worker in deployed()]
    enough = [mb for mb in sizes if mb >= plan.memory_mb]
    if not enough:
        raise DoesNotFit(
            f"{plan.destination}: is planned for workers of {plan.memory_mb} MiB, those deployed "
            f"now have {sizes[-1]} at most; deploy with `-c worker_memory_mb={plan.memory_mb}`, or "
            "start the same config again"
        )
    return f"{SERVICE}-worker-{enough[0]}"
