"""A plan of a stack of any length, made by the planner itself."""

from zblocks.config import Config
from zblocks.geometry import Vec
from zblocks.planning.plan import SliceRef, Volume, Wishes
from zblocks.planning.planner import Job, make_plan
from zblocks.planning.time import Worker
from zblocks.run.start import Prepared

JOB = {
    "source": "s3://slices/brain",
    "destination": "s3://volumes/brain",
    "voxel_resolution": [3680, 3680, 20000],
}
CONFIG = Config.parse(JOB, base=None)


def a_prepared(destination: str, *, slices: int = 20, duplicate: bool = False) -> Prepared:
    job = Job(
        source="s3://slices/brain",
        destination=destination,
        volume=Volume("uint8", 1, "raw", 90, "gzip", 0),
        wishes=Wishes((3680.0, 3680.0, 20000.0), Vec(0, 0, 0), None, None),
        width=3000,
        height=2000,
        slices=tuple(SliceRef(z, f"{z:05d}.jpg", 1, "e", "jpeg") for z in range(slices)),
        held=2150 * 3000,
        in_place=True,
    )
    plan, tasks = make_plan(job, Worker.on_lambda(3538))
    return Prepared(plan, tasks, duplicate)
