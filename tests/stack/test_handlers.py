"""The shells: what they pass on, and what they refuse before anything is done."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from handlers import finalize, plan
from zblocks.config import Config
from zblocks.errors import InvalidConfig

from .plans import CONFIG, JOB, a_prepared

LAMBDAS = Path(__file__).parents[2] / "lambdas"
EXECUTION = "arn:aws:states:us-east-1:111122223333:execution:zblocks:one"


@pytest.fixture(autouse=True)
def deployment(monkeypatch):
    monkeypatch.setenv("ZBLOCKS_DESTINATION_BUCKET", "volumes")


def test_a_config_as_the_input_is_no_upload():
    config, trigger = plan.read_input(JOB)
    assert config.destination == "s3://volumes/brain"
    assert trigger == ""


@pytest.mark.parametrize(
    ("destination", "message"),
    [
        (
            "s3://other/brain",
            'use "s3://volumes/…", or redeploy with `-c destination_bucket=other`',
        ),
        ("s3://volumes/jobs/brain", "uploads to jobs/ start conversions"),
    ],
)
def test_places_that_this_deployment_may_not_write_are_refused(destination, message):
    config = Config.parse({**JOB, "destination": destination}, base=None)
    with pytest.raises(InvalidConfig, match=re.escape(message)):
        plan.refuse_other_places(config)


@pytest.mark.parametrize(
    ("destination", "work"),
    [("s3://volumes/a/b", "a/b/.zblocks"), ("s3://volumes/", ".zblocks"),
     ("s3://volumes", ".zblocks")],
)  # fmt: skip
def test_the_state_says_where_the_work_lies(destination, work):
    state = plan.as_state(a_prepared(destination), CONFIG, EXECUTION)
    assert state["bucket"] == "volumes"
    assert [stage["key"] for stage in state["stages"]] == [
        f"{work}/stages/{number}.json" for number in range(state["stage_count"])
    ]
    assert state["stage_count"] > 1
    assert state["map_prefix"] == f".zblocks/map/{work.removesuffix('.zblocks')}".rstrip("/")
    assert (state["status"], state["stages"][0]["max_concurrency"]) == ("planned", 200)


def test_a_duplicate_says_so():
    state = plan.as_state(a_prepared("s3://volumes/a", duplicate=True), CONFIG, EXECUTION)
    assert state["status"] == "duplicate"


def test_the_state_is_small_however_large_the_stack_is():
    prepared = a_prepared("s3://volumes/" + "x" * 900, slices=10_000)
    assert prepared.plan.blocks > 100
    assert len(json.dumps(plan.as_state(prepared, CONFIG, EXECUTION))) < 8 * 1024


def test_a_redrive_is_advised_for_as_long_as_step_functions_takes_it():
    said = finalize.redrive(EXECUTION, datetime(2026, 11, 27, 23, 59, tzinfo=UTC))
    command, _, until = said.partition("  # ")
    assert command.endswith(f"redrive-execution --execution-arn {EXECUTION}")
    assert until == "before 2026-12-11; from then on, start the same config again"


def test_a_caught_error_becomes_one_line():
    caught = {"Error": "States.DataLimitExceeded", "Cause": "too large"}
    assert finalize.caught({"error": caught}) == "States.DataLimitExceeded: too large"
    said = finalize.caught({"error": {"Error": "States.Timeout", "Cause": "too slow"}})
    assert said.startswith("States.Timeout: too slow (it ran out of time: raise worker_memory_mb ")
    assert finalize.caught({}) == ""


def test_a_worker_starts_without_the_slow_libraries_of_others():
    """A map starts thousands of workers: what none of them needs at once stays out of their way."""
    code = "import sys, handlers.worker; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(LAMBDAS)},
    )  # fmt: skip
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "obstore" in loaded
    assert not {"aws_xray_sdk", "boto3", "cloudvolume", "pyvips", "PIL"} & loaded
