"""The rules that the state machine keeps; a checker of AWS's grammar reads it, too."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from .plans import a_prepared

ROOT = Path(__file__).parents[2]
DEFINITION = ROOT / "statemachine" / "zblocks.asl.json"
TRANSIENT = {
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ResourceConflictException",
    "Lambda.TooManyRequestsException",
    "StorageError",
}
ONCE = {"Sandbox.Timedout", "Runtime.ExitError", "Lambda.Unknown", "States.Timeout"}
MAP_ONLY = {"States.ItemReaderFailed", "States.ResultWriterFailed"}


@pytest.fixture(scope="module")
def machine() -> dict:
    return json.loads(DEFINITION.read_text())


@pytest.fixture(scope="module")
def states(machine) -> dict[str, dict]:
    return dict(walk(machine))


@pytest.fixture(scope="module")
def tasks(states) -> dict[str, dict]:
    return {name: state for name, state in states.items() if state["Type"] == "Task"}


def walk(machine: dict):
    for name, state in machine["States"].items():
        yield name, state
        if "ItemProcessor" in state:
            yield from walk(state["ItemProcessor"])


def test_the_grammar_is_right(tmp_path):
    filled = tmp_path / "filled.asl.json"
    filled.write_text(fill(DEFINITION.read_text()))
    checker = ROOT / "node_modules" / ".bin" / "asl-validator"
    done = subprocess.run(
        [checker, "--json-path", filled], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def fill(definition: str) -> str:
    """What CDK's substitutions make of it."""
    values = {"Partition": "aws", "DestinationBucket": "volumes"}
    arn = "arn:aws:lambda:us-east-1:111122223333:function:"
    return re.sub(r"\$\{(\w+)\}", lambda m: values.get(m[1], arn + m[1]), definition)


def test_no_failure_is_tolerated(states):
    for name, state in states.items():
        assert not [field for field in state if field.startswith("Tolerated")], name


def test_every_task_retries_transient_errors_with_jitter(tasks):
    for name, task in tasks.items():
        assert {error for retry in task["Retry"] for error in retry["ErrorEquals"]} == (
            TRANSIENT | ONCE
        ), name


def test_retries_name_their_errors_and_spread_out(states):
    for state in states.values():
        for retry in state.get("Retry", []):
            assert set(retry["ErrorEquals"]) <= TRANSIENT | ONCE | MAP_ONLY
            assert retry["JitterStrategy"] == "FULL"
            assert retry["MaxDelaySeconds"] <= 120
            assert retry["MaxAttempts"] >= 1


def test_what_a_bigger_or_slower_block_causes_is_tried_once_more_only(tasks):
    for task in tasks.values():
        (retry,) = [each for each in task["Retry"] if ONCE & set(each["ErrorEquals"])]
        assert set(retry["ErrorEquals"]) == ONCE
        assert retry["MaxAttempts"] == 1


def test_of_our_errors_only_the_stores_is_retried(states):
    from zblocks import errors

    ours = {name for name, each in vars(errors).items() if isinstance(each, type)}
    named = {
        error
        for state in states.values()
        for retry in state.get("Retry", [])
        for error in retry["ErrorEquals"]
    }
    assert named & ours == {"StorageError"}


def test_every_task_may_take_as_long_as_its_function_and_no_longer(tasks):
    assert {task["TimeoutSeconds"] for task in tasks.values()} == {960}


def test_the_plan_replaces_the_state_and_nothing_after_it_makes_it_grow(machine):
    states = machine["States"]
    assert states["Plan"]["OutputPath"] == "$.Payload"
    assert not {"ResultPath", "ResultSelector"} & set(states["Plan"])
    assert states["Convert blocks"]["ResultPath"] is None
    assert states["Coarsen"]["ResultPath"] is None


def test_blocks_come_from_and_results_go_to_s3(machine):
    blocks = machine["States"]["Convert blocks"]
    assert blocks["ItemProcessor"]["ProcessorConfig"]["Mode"] == "DISTRIBUTED"
    assert blocks["ItemReader"]["Resource"].endswith(":s3:getObject")
    assert blocks["ItemReader"]["Parameters"]["Bucket"] == "${DestinationBucket}"
    assert blocks["ResultWriter"]["Resource"].endswith(":s3:putObject")
    assert blocks["ResultWriter"]["Parameters"]["Bucket"] == "${DestinationBucket}"
    assert blocks["MaxConcurrencyPath"] == "$.max_concurrency"


def test_failure_can_happen(machine):
    states = machine["States"]
    for name in ("Convert blocks", "Coarsen"):
        (catch,) = states[name]["Catch"]
        assert (catch["ErrorEquals"], catch["Next"]) == (["States.ALL"], "Report failure")
    assert states[states["Report failure"]["Next"]]["Type"] == "Fail"
    assert "Catch" not in states["Report failure"]
    assert "Catch" not in states["Finalize"]
    ends = [name for name, state in states.items() if state.get("End") or
            state["Type"] == "Succeed"]  # fmt: skip
    assert ends == ["Already started by this upload", "Finalize"]


def test_every_state_says_what_it_is_for(machine, states):
    assert machine["Comment"]
    for name, state in states.items():
        assert state["Comment"].endswith("."), name


def test_the_paths_are_fields_of_the_plans_result(machine):
    from handlers.plan import as_state

    fields = set(as_state(a_prepared("s3://b/p"), 1))
    text = json.dumps({k: v for k, v in machine["States"].items() if k != "Plan"})
    used = set(re.findall(r'"\$\.(\w+)', text)) - {"error", "Payload", "stage"}
    assert used <= fields
