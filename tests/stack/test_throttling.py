"""Throttling is never a failure: simulated with the retries that the definition has."""

import json
import statistics

import pytest

from handlers.plan import as_state
from zblocks.config import Config

from .lambda_quota import run_map
from .plans import JOB, a_prepared
from .test_state_machine import DEFINITION, walk

STATES = dict(walk(json.loads(DEFINITION.read_text())))
BLOCK = STATES["Convert one task"]
INVOKING = [name for name, state in STATES.items() if state["Type"] == "Task"]
DAY = 86_400.0
EVENTS = 25_000
"""Of one execution's history; Step Functions ends an execution that has more."""
EVENTS_OF_A_TRY = 3
RUNS = 20


def at_once(quota: int | None) -> dict:
    config = Config.parse({**JOB, "max_concurrency": 200}, base=None)
    return as_state(a_prepared("s3://volumes/a"), config, "an execution", quota)


@pytest.mark.parametrize(("blocks", "seconds"), [(313, 70.0), (625, 200.0)])
def test_a_new_account_converts_every_block_though_nothing_is_known_of_its_quota(blocks, seconds):
    for seed in range(RUNS):
        done = run_map(BLOCK, blocks, seconds, 200, lambda _: 10, seed)
        assert done.lost == 0
        assert done.seconds < 1.5 * blocks * seconds / 10 + 300


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 20, 100, 199])
def test_any_quota_converts_every_block(limit):
    done = run_map(BLOCK, 313, 70.0, 200, lambda _: limit, seed=limit)
    assert done.lost == 0
    assert done.tries * EVENTS_OF_A_TRY < EVENTS


@pytest.mark.parametrize("limit", [1, 2, 9, 10, 199, 200, 1000])
def test_a_map_within_the_quota_is_not_throttled_by_itself(limit):
    wide = at_once(limit)["stages"][0]["max_concurrency"]
    assert wide == min(limit, 200)
    done = run_map(BLOCK, 313, 70.0, wide, lambda _: limit, seed=0)
    assert (done.lost, done.retries) == (0, 0)


def test_an_account_whose_quota_is_all_reserved_still_tries():
    assert {stage["max_concurrency"] for stage in at_once(0)["stages"]} == {1}


def test_an_account_that_does_not_say_its_quota_gets_what_the_config_asks_for():
    assert {stage["max_concurrency"] for stage in at_once(None)["stages"]} == {200}


@pytest.mark.parametrize("name", INVOKING)
def test_every_state_waits_for_two_weeks_of_other_work_within_its_history(name):
    longest = max(r["MaxDelaySeconds"] for r in STATES[name]["Retry"])
    ends = []
    for seed in range(RUNS):
        done = run_map(STATES[name], 1, 70.0, 1, lambda now: int(now > 14 * DAY), seed)
        assert done.lost == 0
        assert done.tries * EVENTS_OF_A_TRY < EVENTS
        ends.append(done.seconds - 14 * DAY - 70)
    assert statistics.median(ends) < longest
