"""A failed execution, redriven: the handlers called as Step Functions would call them.

No emulator redrives an execution, so the state machine's part (tests/stack) and the handlers' part
are proved apart.
"""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from handlers import block, coarse, finalize, plan
from tests.flow.conftest import textured, write_stack
from zblocks.errors import CostCeiling, IncompleteVolume
from zblocks.storage import open_store

CONTEXT = SimpleNamespace(
    function_name="zblocks",
    memory_limit_in_mb=1769,
    invoked_function_arn="arn:aws:lambda:us-east-1:111122223333:function:zblocks",
    aws_request_id="1",
)
EXECUTION = "arn:aws:states:us-east-1:111122223333:execution:zblocks:run-1"


@pytest.fixture
def job(tmp_path, cloud, monkeypatch):
    """A stack of three blocks in a bucket, its middle one broken; the config."""
    monkeypatch.setenv("ZBLOCKS_DESTINATION_BUCKET", "volumes")
    monkeypatch.setenv("ZBLOCKS_WORKER_MEMORY_MB", "3538")
    write_stack(tmp_path / "in", textured((150, 40, 50, 1), "uint8"))
    for path in (tmp_path / "in").iterdir():
        data = path.read_bytes()
        cut = len(data) // 2 if path.name == "s_100.png" else len(data)
        cloud.s3.put_object(Bucket="slices", Key=f"s/{path.name}", Body=data[:cut])
    return {
        "source": "s3://slices/s",
        "destination": f"s3://volumes/{tmp_path.name}",
        "voxel_resolution": [4, 4, 40],
    }


def run_blocks(state, bodies=None):
    """Convert what is due as the map does; the names of the blocks that were due."""
    store = open_store(state["destination"])
    due = json.loads(store.get(".zblocks/due.json"))
    for item in due:
        event = {"destination": state["destination"], "item": item}
        try:
            block.handler(event, CONTEXT)
        except Exception as error:
            cause = json.dumps({"errorType": type(error).__name__, "errorMessage": str(error)})
            block.handler(event | {"error": {"Error": "Boom", "Cause": cause}}, CONTEXT)
    return [item["index"] for item in due]


def end(state, redrive=0):
    event = {"destination": state["destination"], "execution": EXECUTION, "redrive": redrive}
    return finalize.handler(event | {"error": {}}, CONTEXT)


def test_a_redriven_execution_converts_what_failed_and_no_more(job, cloud):
    state = plan.handler({"input": job, "execution": EXECUTION}, CONTEXT)
    folder = job["destination"].removeprefix("s3://volumes/")
    assert run_blocks(state) == [0, 1, 2]
    with pytest.raises(IncompleteVolume, match=r"s_100\.png"):
        end(state)
    assert f"{folder}/.zblocks/claim.json" not in cloud.keys("volumes")
    report = cloud.json("volumes", f"{folder}/.zblocks/report.json")
    assert [(f["task"], f["error"], f["tries"]) for f in report["failed"]] == [
        ("block-00001", "SliceError", 1)
    ]

    assert end(state, redrive=1) == {"status": "AGAIN"}
    assert f"{folder}/.zblocks/claim.json" in cloud.keys("volumes")
    assert run_blocks(state) == [1]
    with pytest.raises(IncompleteVolume, match=r"s_100\.png"):
        end(state, redrive=1)
    report = cloud.json("volumes", f"{folder}/.zblocks/report.json")
    assert report["failed"][0]["tries"] == 2


def test_a_redrive_of_a_failed_finalize_alone_converts_nothing(job, cloud):
    job["destination"] += "-whole"
    sound = cloud.s3.get_object(Bucket="slices", Key="s/s_099.png")["Body"].read()
    cloud.s3.put_object(Bucket="slices", Key="s/s_100.png", Body=sound)
    state = plan.handler({"input": job, "execution": EXECUTION}, CONTEXT)
    run_blocks(state)
    for stage in state["coarse"]:
        for index in stage:
            event = {"destination": job["destination"], "index": index, "allow_partial": False}
            coarse.handler(event, CONTEXT)
    assert end(state, redrive=1) == {"status": "AGAIN"}
    assert run_blocks(state) == []
    assert end(state, redrive=1)["status"] == "COMPLETE"


def test_a_killed_worker_is_named_with_advice(job, cloud):
    """Out of memory, it could not say a word itself."""
    job["destination"] += "-killed"
    state = plan.handler({"input": job, "execution": EXECUTION}, CONTEXT)
    store = open_store(state["destination"])
    item = json.loads(store.get(".zblocks/due.json"))[2]
    error = {"Error": "Runtime.ExitError", "Cause": "RequestId: 1 Error: Runtime exited"}
    block.handler({"destination": state["destination"], "item": item, "error": error}, CONTEXT)
    with pytest.raises(IncompleteVolume, match="lack of memory: raise worker_memory_mb"):
        end(state)


@pytest.mark.filterwarnings("ignore:No application metrics")  # as on Lambda: Plan made none
def test_a_run_above_its_ceiling_ends_in_plan_with_nothing_written(job, cloud):
    """In the cloud the whole bill counts, not only requests: compute is most of it here."""
    job |= {"destination": f"{job['destination']}-dear", "max_cost_usd": 0.0005}
    before = cloud.keys("volumes")
    with pytest.raises(CostCeiling, match="most of it is Lambda compute"):
        plan.handler({"input": job, "execution": EXECUTION}, CONTEXT)
    assert cloud.keys("volumes") == before
    job["max_cost_usd"] = 0.01
    assert plan.handler({"input": job, "execution": EXECUTION}, CONTEXT)["blocks"] == 3
