"""The rules that the state machine keeps; a checker of AWS's grammar reads it, too."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from handlers.sizes import a_round

from .plans import CONFIG, a_prepared

ROOT = Path(__file__).parents[2]
DEFINITION = ROOT / "statemachine" / "zblocks.asl.json"
TRANSIENT = {
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.ResourceConflictException",
    "StorageError",
}
THROTTLED = {"Lambda.TooManyRequestsException"}
"""Repeated for as long as it lasts: tests/stack/test_throttling.py."""
OUT_OF_MEMORY = {"Runtime.OutOfMemory", "Runtime.ExitError", "Lambda.Unknown"}
ONCE = OUT_OF_MEMORY | {"Sandbox.Timedout", "States.Timeout"}
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


def test_a_failed_block_does_not_stop_the_others_and_finalize_judges(machine, states):
    tolerant = {n for n, s in states.items() if [f for f in s if f.startswith("Tolerated")]}
    assert tolerant == {"Convert"}
    assert states["Convert"]["ToleratedFailurePercentage"] == 100
    child = machine["States"]["Convert"]["ItemProcessor"]["States"]
    (catch,) = child["Convert one task"]["Catch"]
    assert (catch["ErrorEquals"], catch["Next"]) == (["States.ALL"], "Note failure")
    assert child[child["Note failure"]["Next"]]["Type"] == "Fail"


def test_a_redrive_goes_back_to_the_blocks_with_nothing_caught(machine):
    states = machine["States"]
    (again,) = states["Published?"]["Choices"]
    assert (again["Variable"], again["StringEquals"]) == ("$.finalized.ending.status", "REDRIVE")
    payload = states["Finalize"]["Parameters"]["Payload"]
    assert payload["redrive.$"] == "$$.Execution.RedriveCount"
    assert payload["volume_id.$"] == "$.volume_id"
    forgotten = states[again["Next"]]
    assert (forgotten["InputPath"], forgotten["ResultPath"]) == (
        "$.finalized.ending.round", "$.round"
    )  # fmt: skip
    assert forgotten["Next"] == "Tasks left?"
    assert [each["ResultPath"] for each in states["Convert"]["Catch"]] == ["$.round.error"]
    assert payload["error.$"] == "$.round.error"


def test_stages_are_done_one_after_the_other_and_then_all_is_judged(machine):
    """From the first that has tasks: `a_round` leaves out the blocks if none is due."""
    states = machine["States"]
    assert states["Has this upload been planned before?"]["Default"] == "Tasks left?"
    (left,) = states["Tasks left?"]["Choices"]
    assert (left["Variable"], left["NumericLessThanPath"]) == ("$.round.next", "$.stage_count")
    assert (left["Next"], states["Tasks left?"]["Default"]) == ("Next stage", "Finalize")
    taken = states["Next stage"]
    assert taken["Parameters"]["stage.$"] == "States.ArrayGetItem($.stages, $.round.next)"
    assert taken["Parameters"]["next.$"] == "States.MathAdd($.round.next, 1)"
    assert (taken["Next"], states["Convert"]["Next"]) == ("Convert", "Tasks left?")
    into = [n for n, s in states.items() if "Convert" in (s.get("Next"), s.get("Default"))]
    assert into == ["Next stage"]


@pytest.mark.parametrize(("blocks", "first"), [(3, 0), (0, 1)])
def test_no_map_run_gets_an_empty_list_and_coarse_tasks_are_done_all_the_same(blocks, first):
    made = a_round(a_prepared("s3://b/p").plan, blocks)
    assert made["next"] == first


def test_blocks_and_coarser_scales_call_the_function_that_the_plan_chose(states):
    """Of the size in the state; the others are those that the definition names itself."""
    called = {n: s["Parameters"] for n, s in states.items() if s["Type"] == "Task"}
    chosen = {n for n, p in called.items() if p.get("FunctionName.$") == "$.worker"}
    assert chosen == {"Convert one task", "Note failure"}
    assert {p["FunctionName"] for n, p in called.items() if n not in chosen} == {
        "${PlanFunction}", "${FinalizeFunction}"
    }  # fmt: skip
    assert states["Convert"]["ItemSelector"]["worker.$"] == "$.round.worker"
    assert states["Next stage"]["Parameters"]["worker.$"] == "$.round.worker"


COMMON = {"Type", "Comment"}
PATHS = {"InputPath", "OutputPath"}
MOVING = {"Next", "End"}
FIELDS = {
    "Task": COMMON | PATHS | MOVING | {
        "Resource", "Parameters", "ResultSelector", "ResultPath", "TimeoutSeconds",
        "TimeoutSecondsPath", "HeartbeatSeconds", "HeartbeatSecondsPath", "Credentials",
        "Retry", "Catch",
    },
    "Map": COMMON | PATHS | MOVING | {
        "ItemProcessor", "ItemsPath", "ItemReader", "ItemSelector", "ItemBatcher", "ResultWriter",
        "Label", "MaxConcurrency", "MaxConcurrencyPath", "ToleratedFailureCount",
        "ToleratedFailureCountPath", "ToleratedFailurePercentage",
        "ToleratedFailurePercentagePath", "ResultSelector", "ResultPath", "Retry", "Catch",
    },
    "Pass": COMMON | PATHS | MOVING | {"Result", "ResultPath", "Parameters"},
    "Choice": COMMON | PATHS | {"Choices", "Default"},
    "Succeed": COMMON | PATHS,
    "Fail": COMMON | {"Error", "ErrorPath", "Cause", "CausePath"},
}  # fmt: skip
"""What a state of each type may have: https://states-language.net/#state-type-table, and AWS's page
of each type for what it has added."""
OF_DISTRIBUTED_MAPS = {
    "ItemReader", "ItemBatcher", "ResultWriter", "Label", "ToleratedFailureCount",
    "ToleratedFailureCountPath", "ToleratedFailurePercentage", "ToleratedFailurePercentagePath",
}  # fmt: skip
CONTEXT = {
    "$$.Execution.Id", "$$.Execution.RedriveCount", "$$.Map.Item.Value", "$$.State",
}  # fmt: skip
"""Paths that are there in every attempt; of `$$.State` the worker takes what it finds."""


def test_a_state_has_only_the_fields_of_its_type(states):
    for name, state in states.items():
        assert set(state) <= FIELDS[state["Type"]], name
        mode = state.get("ItemProcessor", {}).get("ProcessorConfig", {}).get("Mode")
        if state["Type"] == "Map" and mode != "DISTRIBUTED":
            assert not OF_DISTRIBUTED_MAPS & set(state), name
        for retry in state.get("Retry", []):
            assert set(retry) <= {
                "ErrorEquals", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds",
                "JitterStrategy", "Comment",
            }, name  # fmt: skip
            assert 0 < retry["MaxDelaySeconds"] < 31_622_400
            assert 0 <= retry["MaxAttempts"] <= 99_999_999
        for catch in state.get("Catch", []):
            assert set(catch) <= {"ErrorEquals", "ResultPath", "Next", "Comment"}, name


def test_the_context_has_every_path_that_is_asked_for():
    assert set(re.findall(r'"(\$\$[^"]*)"', DEFINITION.read_text())) <= CONTEXT


def test_every_task_retries_transient_errors_with_jitter(tasks):
    for name, task in tasks.items():
        assert {error for retry in task["Retry"] for error in retry["ErrorEquals"]} == (
            TRANSIENT | THROTTLED | ONCE
        ), name


def test_retries_name_their_errors_and_spread_out(states):
    for state in states.values():
        for retry in state.get("Retry", []):
            assert set(retry["ErrorEquals"]) <= TRANSIENT | THROTTLED | ONCE | MAP_ONLY
            assert retry["JitterStrategy"] == "FULL"
            assert retry["MaxDelaySeconds"] <= (
                900 if THROTTLED & set(retry["ErrorEquals"]) else 60
            )
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
    assert states["Convert"]["ResultPath"] is None
    assert states["Next stage"]["ResultPath"] == "$.round"


def test_every_worker_is_told_the_execution_that_it_works_for(states):
    """In the map's children, `$$.Execution.Id` would be the child's own."""
    assert states["Convert"]["ItemSelector"]["execution.$"] == "$.execution"
    for name in ("Plan", "Answer for Plan", "Finalize"):
        payload = states[name]["Parameters"]["Payload"]
        assert payload["execution.$"] == "$$.Execution.Id", name


def test_a_killed_plan_is_answered_and_other_ends_of_it_stay_redrivable(machine):
    """A redrive begins at the state that failed: at a Fail state, it would change nothing."""
    states = machine["States"]
    (catch,) = states["Plan"]["Catch"]
    assert (set(catch["ErrorEquals"]), catch["ResultPath"]) == (ONCE, "$.error")
    answer = states[catch["Next"]]
    assert answer["Parameters"]["FunctionName"] == states["Plan"]["Parameters"]["FunctionName"]
    assert answer["Parameters"]["Payload"] == states["Plan"]["Parameters"]["Payload"] | {
        "error.$": "$.error"
    }
    assert answer["ResultPath"] is None
    assert states[answer["Next"]]["ErrorPath"] == "$.error.Error"


def test_the_picture_reads_like_the_pages(machine):
    """From state to state when nothing fails and nothing was there before."""
    states, name, walked = machine["States"], machine["StartAt"], []
    while name:
        walked.append(name)
        stage = name == "Tasks left?" and walked.count(name) == 1
        name = "Next stage" if stage else states[name].get("Default") or states[name].get("Next")
    steps = [name for name in walked if states[name]["Type"] in ("Task", "Map")]
    assert steps == ["Plan", "Convert", "Finalize"]
    page = (ROOT / "docs/how-it-works.md").read_text()
    diagram = next(line for line in page.splitlines() if line.startswith("config ─▶"))
    assert re.findall(r"▶ ([A-Z].*?) ─", diagram) == steps


def test_blocks_come_from_and_results_go_to_s3(machine):
    blocks = machine["States"]["Convert"]
    assert blocks["ItemProcessor"]["ProcessorConfig"]["Mode"] == "DISTRIBUTED"
    assert blocks["ItemReader"]["Resource"].endswith(":s3:getObject")
    assert blocks["ItemReader"]["Parameters"]["Bucket"] == "${DestinationBucket}"
    assert blocks["ResultWriter"]["Resource"].endswith(":s3:putObject")
    assert blocks["ResultWriter"]["Parameters"]["Bucket"] == "${DestinationBucket}"
    assert blocks["MaxConcurrencyPath"] == "$.round.stage.max_concurrency"


def test_failure_can_happen(machine):
    states = machine["States"]
    (catch,) = states["Convert"]["Catch"]
    assert (catch["ErrorEquals"], catch["Next"]) == (["States.ALL"], "Finalize")
    assert "Catch" not in states["Finalize"]
    ends = [name for name, state in states.items() if state.get("End") or
            state["Type"] == "Succeed"]  # fmt: skip
    assert ends == ["Already started by this upload", "Published"]


def test_every_state_says_what_it_is_for(machine, states):
    assert machine["Comment"]
    for name, state in states.items():
        assert state["Comment"].endswith("."), name


def test_the_paths_are_fields_of_the_plans_result(machine):
    from handlers.plan import as_state

    fields = set(as_state(a_prepared("s3://b/p"), CONFIG, "an execution"))
    text = json.dumps({k: v for k, v in machine["States"].items() if k != "Plan"})
    used = set(re.findall(r'"\$\.(\w+)', text))
    assert used - {"Payload", "stage", "finalized", "item", "index", "worker", "error"} <= fields
