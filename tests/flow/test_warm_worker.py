"""A worker that converts block after block in one process, as a warm Lambda does."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np

from tests.flow.conftest import textured, write_slice
from tests.flow.inprocess import start
from zblocks.config import Config
from zblocks.run.local.workers import ENVIRONMENT
from zblocks.run.lock import Lock

BLOCKS = 50
PROGRAM = """
import os, sys
from zblocks.host import peak_mb
from zblocks.run.attempt import attempt_block
from zblocks.run.job import open_job, read_tasks
from zblocks.storage import Access
for task in read_tasks((job := open_job(sys.argv[1])).plan, job.target):
    attempt_block(open_job(sys.argv[1], Access(), sys.argv[2]), task)
    print(peak_mb(), len(os.listdir("/proc/self/fd")))
"""


def test_fifty_blocks_stay_within_the_plan_and_leave_no_file_open(tmp_path, write_config):
    (tmp_path / "in").mkdir()
    first = tmp_path / "in/s_0000.jpg"
    write_slice(first, np.ascontiguousarray(textured((1, 300, 400, 3), "uint8")[0]))
    for z in range(1, BLOCKS * 64):
        os.link(first, tmp_path / f"in/s_{z:04d}.jpg")
    plan = start(Config.load(write_config())).plan
    assert plan.blocks == BLOCKS
    line = [sys.executable, "-c", PROGRAM, plan.destination, Lock.of("").holder]
    env = {**ENVIRONMENT, **os.environ}
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, env=env, check=True)
    found = [[int(n) for n in each.split()] for each in done.stdout.splitlines()]
    peaks, files = zip(*found, strict=True)
    assert len(found) == BLOCKS
    assert peaks[-1] <= plan.predicted_peak_mb
    assert files[-1] <= files[0]
