"""A seeded share of `make chaos`, and what needs no seed: duplicates, disorder, a full disk."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.chaos.proxy import Weather, failing
from tests.chaos.seeds import Bucket, run_seed
from tests.flow.conftest import textured, write_stack, zblocks
from tests.flow.inprocess import start
from zblocks.config import Config
from zblocks.errors import DestinationClaimed
from zblocks.run.attempt import attempt_block, attempt_coarse
from zblocks.run.finalize import finalize
from zblocks.run.job import RECEIPTS, open_job
from zblocks.run.start import Run
from zblocks.storage import open_store


@pytest.mark.parametrize("seed", [0, 2, 5])
def test_after_faults_and_kills_the_volume_is_that_of_a_clean_run(tmp_path, cloud, seed):
    outcome = run_seed(seed, tmp_path, cloud.s3, cloud.endpoint)
    assert outcome.trouble == "", f"run it again: python -m tests.chaos --seed {seed}"
    assert sum(outcome.injected.values()) > 0


@pytest.mark.parametrize("sharding", [False, True])
def test_duplicates_at_the_same_time_and_any_order_make_the_same_volume(
    tmp_path, write_config, cloud, sharding
):
    """Every block twice at once, the last first; once more after the end."""
    write_stack(tmp_path / "in", textured((300, 30, 40, 1), "uint8"))
    fields = {"chunk_size": [16, 16, 16], "voxel_resolution": [1, 1, 1], "sharding": sharding}
    assert zblocks("convert", write_config(destination="s3://volumes/clean", **fields)).code == 0
    config = Config.load(write_config(destination="s3://volumes/twice", **fields))
    prepared = start(config)
    job, plan = open_job(config.destination), prepared.plan
    tasks = [*prepared.pending] * 2
    random.Random(3).shuffle(tasks)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda task: attempt_block(job, task), tasks))
    coarse = [plan.coarse[i] for stage in plan.stages() for i in stage] * 2
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda task: attempt_coarse(job, task), coarse))
    finalize(job, Run())
    clean = Bucket(cloud.s3, "volumes", "clean").volume()
    assert Bucket(cloud.s3, "volumes", "twice").volume() == clean
    attempt_block(job, tasks[0])  # delivered late: its receipt stands
    job.target.delete([f"{RECEIPTS}/{tasks[0].name}.json"])
    with pytest.raises(DestinationClaimed, match="it was given back"):  # and without it, nothing is
        attempt_block(job, tasks[0])
    assert Bucket(cloud.s3, "volumes", "twice").volume() == clean


def test_a_lock_whose_answer_was_lost_is_ours(tmp_path, write_config, cloud):
    """The conditional PUT succeeded, its answer didn't come, and the retry finds a lock: ours."""
    write_stack(tmp_path / "in", textured((5, 40, 50, 1), "uint8"))

    class Once(Weather):
        def next_fault(self, method: str) -> str:
            if method == "PUT" and not self.injected:
                self.injected["reset after"] += 1
                return "reset after"
            return ""

    weather = Once(0, 1.0)
    with failing(cloud.endpoint, weather) as endpoint:
        done = zblocks(
            "convert",
            write_config(destination="s3://volumes/v"),
            env={"AWS_ENDPOINT_URL": endpoint},
        )
    assert weather.injected
    assert done.code == 0, done.err
    assert "v/.zblocks/lock.json" not in cloud.keys("volumes")


def test_a_short_body_is_read_again(cloud):
    """A read whose body ends early is repeated, never taken for the whole."""
    data = np.random.default_rng(0).bytes(300_000)
    cloud.s3.put_object(Bucket="volumes", Key="x", Body=data)

    class Twice(Weather):
        def next_fault(self, method: str) -> str:
            if method == "GET" and self.injected["short body"] < 2:
                self.injected["short body"] += 1
                return "short body"
            return ""

    weather = Twice(0, 1.0)
    with failing(cloud.endpoint, weather) as endpoint, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        store = open_store("s3://volumes")
        assert store.get("x") == data
        weather.injected.clear()
        assert store.get_range("x", 1000, 200_000) == data[1000:201_000]
    assert weather.injected["short body"] == 2


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    options = ["-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() or not shutil.which("mount"):
        pytest.skip("mounting a small disk needs root")
    if subprocess.run(["mount", *options], check=False, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


def test_a_full_disk_ends_in_one_error_and_more_space_goes_on(tmp_path, write_config, small_disk):
    voxels = textured((150, 128, 128, 1), "uint8")
    write_stack(tmp_path / "in", voxels)
    config = write_config(destination=f"file://{small_disk}/v", compression="none")
    full = zblocks("convert", config)
    assert full.code == 1
    assert "the disk is full; free some space" in full.err
    assert "Traceback" not in full.err
    assert not (small_disk / "v" / "info").exists()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert zblocks("convert", config).code == 0
    assert zblocks("verify", small_disk / "v", "--source", config).code == 0
