"""A plan of a stack of any length, made by the planner itself."""

from tests.plans import a_stack
from zblocks.config import Config
from zblocks.planning.planner import make_plan
from zblocks.planning.time import WorkerSpec
from zblocks.run.start import Prepared

JOB = {
    "source": "s3://slices/brain",
    "destination": "s3://volumes/brain",
    "voxel_resolution": [3680, 3680, 20000],
}
CONFIG = Config.parse(JOB, base=None)


def a_prepared(
    destination: str, *, slices: int = 20, duplicate: bool = False, memory_mb: int = 3008
) -> Prepared:
    stack = a_stack((3000, 2000, slices), (3680.0, 3680.0, 20000.0), destination=destination)
    plan, tasks = make_plan(stack, WorkerSpec.on_lambda(memory_mb))
    return Prepared(plan, tasks, duplicate)
