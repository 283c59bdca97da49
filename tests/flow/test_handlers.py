"""A failed execution, redriven: the handlers called as Step Functions would call them.

No emulator redrives an execution, so the state machine's part (tests/stack) and the handlers' part
are proved apart.
"""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

import boto3
import pytest

from handlers import finalize, logger, plan, worker
from tests.flow.conftest import AWS, textured, write_stack
from tests.map_items import coarse_items, items_of
from zblocks.errors import (
    CostCeiling,
    DestinationClaimed,
    DoesNotFit,
    IncompleteVolume,
    StorageError,
)
from zblocks.storage import Store

CONTEXT = SimpleNamespace(
    function_name="zblocks",
    memory_limit_in_mb=1769,
    invoked_function_arn="arn:aws:lambda:us-east-1:111122223333:function:zblocks",
    aws_request_id="1",
)
NOTHING_COUNTED = pytest.mark.filterwarnings("ignore:No application metrics")
EXECUTION = "arn:aws:states:us-east-1:111122223333:execution:zblocks:run-1"


@pytest.fixture
def job(tmp_path, cloud, monkeypatch):
    """A stack of three blocks in a bucket, its middle one broken; the config."""
    monkeypatch.setenv("ZBLOCKS_DESTINATION_BUCKET", "volumes")
    monkeypatch.setenv("ZBLOCKS_WORKER_MEMORY_MB", "1769,3008")
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


@pytest.fixture
def said(monkeypatch):
    """A function: the log's lines so far, as objects."""
    stream = io.StringIO()
    monkeypatch.setattr(logger.registered_handler, "stream", stream)
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def heard(cloud):
    """A function: the events of zblocks on the default bus since it was last asked."""
    options = {"endpoint_url": cloud.endpoint, "region_name": "us-east-1"}
    events, sqs = boto3.client("events", **options), boto3.client("sqs", **options)
    queue = sqs.create_queue(QueueName="heard")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
    target = {"Id": "1", "Arn": arn["Attributes"]["QueueArn"]}
    events.put_rule(Name="heard", EventPattern=json.dumps({"source": ["zblocks"]}))
    events.put_targets(Rule="heard", Targets=[target])

    def take():
        found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
        for message in found:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in found]

    yield take
    events.remove_targets(Rule="heard", Ids=["1"])
    events.delete_rule(Name="heard")
    sqs.delete_queue(QueueUrl=queue)


def counted(text):
    """Metrics in CloudWatch's embedded format: name → values, in the order of lines."""
    found = {}
    for line in text.splitlines():
        if '"CloudWatchMetrics"' not in line:
            continue
        document = json.loads(line)
        (group,) = document["_aws"]["CloudWatchMetrics"]
        assert (group["Namespace"], group["Dimensions"]) == ("zblocks", [["service"]])
        for metric in group["Metrics"]:
            found.setdefault(metric["Name"], []).extend(document[metric["Name"]])
    return found


def run_blocks(state, bodies=None):
    """Convert what is pending as the map does; the indices of the blocks that were pending."""
    pending = items_of(state)
    for item in pending:
        event = {k: state[k] for k in ("destination", "execution")} | {"item": item}
        try:
            worker.handler(event, CONTEXT)
        except Exception as error:
            cause = json.dumps({"errorType": type(error).__name__, "errorMessage": str(error)})
            worker.handler(event | {"error": {"Error": "Boom", "Cause": cause}}, CONTEXT)
    return [item["block"] for item in pending]


def end(state, redrive=0, error=None):
    event = {k: state[k] for k in ("destination", "execution", "volume_id")}
    return finalize.handler(event | {"redrive": redrive, "error": error or {}}, CONTEXT)


def test_a_redriven_execution_converts_what_failed_and_no_more(job, cloud, heard):
    state = plan.handler({"input": job, "execution": EXECUTION}, CONTEXT)
    folder = job["destination"].removeprefix("s3://volumes/")
    assert run_blocks(state) == [0, 1, 2]
    with pytest.raises(IncompleteVolume, match=r"s_100\.png"):
        end(state)
    assert f"{folder}/.zblocks/lock.json" not in cloud.keys("volumes")
    report = cloud.json("volumes", f"{folder}/.zblocks/report.json")
    assert [(f["task"], f["error"], f["tries"]) for f in report["failed"]] == [
        ("block-00001", "SliceError", 1)
    ]
    assert report["resume"].startswith(
        f"aws stepfunctions redrive-execution --execution-arn {EXECUTION}"
    )
    (event,) = heard()
    assert (event["detail-type"], event["resources"]) == ("Volume failed", [EXECUTION])
    detail = event["detail"]
    assert "s_100.png" in detail.pop("reason")
    assert detail == {
        "status": "FAILED",
        "location": job["destination"],
        "report": f"{job['destination']}/.zblocks/report.json",
        "resume": report["resume"],
        "execution": EXECUTION,
    }

    assert state["round"] == {"worker": "zblocks-worker-1769", "next": 0, "error": {}}
    assert end(state, redrive=1) == {"status": "REDRIVE", "round": state["round"]}
    assert items_of(state) == [{"block": 1}]
    assert f"{folder}/.zblocks/lock.json" in cloud.keys("volumes")
    assert run_blocks(state) == [1]
    with pytest.raises(IncompleteVolume, match=r"s_100\.png"):
        end(state, redrive=1)
    report = cloud.json("volumes", f"{folder}/.zblocks/report.json")
    assert report["failed"][0]["tries"] == 2


@NOTHING_COUNTED
def test_a_redrive_calls_a_function_that_is_still_deployed(job, monkeypatch):
    """Others may have been deployed since; they are as large as the plan needs, or larger."""
    job["destination"] += "-sizes"
    state = plan.handler({"input": job, "execution": EXECUTION}, CONTEXT)
    run_blocks(state)
    for redrive, sizes, size in ((1, "1280,2048,4096", "2048"), (2, "1769,4096", "1769")):
        monkeypatch.setenv("ZBLOCKS_WORKER_MEMORY_MB", sizes)
        with pytest.raises(IncompleteVolume):
            end(state, redrive=redrive - 1)
        assert end(state, redrive=redrive)["round"]["worker"] == f"zblocks-worker-{size}"
    with pytest.raises(IncompleteVolume):
        end(state, redrive=2)
    monkeypatch.setenv("ZBLOCKS_WORKER_MEMORY_MB", "1280")
    with pytest.raises(DoesNotFit, match=r"workers of 1769 MiB.* 1280 at most.* start the same"):
        end(state, redrive=3)
    # Started again, it keeps its blocks, for a size in which they fit.
    again = plan.handler({"input": job, "execution": f"{EXECUTION}0"}, CONTEXT)
    assert again["round"] == {"worker": "zblocks-worker-1280", "next": 0, "error": {}}


def test_a_redrive_of_a_failed_finalize_alone_converts_nothing(job, cloud, heard):
    job["destination"] += "-whole"
    sound = cloud.s3.get_object(Bucket="slices", Key="s/s_099.png")["Body"].read()
    cloud.s3.put_object(Bucket="slices", Key="s/s_100.png", Body=sound)
    state = plan.handler({"input": job, "execution": EXECUTION}, CONTEXT)
    run_blocks(state)
    for item in coarse_items(state):
        event = {k: state[k] for k in ("destination", "execution", "allow_partial")}
        worker.handler(event | {"item": item}, CONTEXT)
    assert end(state, redrive=1) == {"status": "REDRIVE", "round": state["round"] | {"next": 1}}
    assert run_blocks(state) == []
    assert heard() == []
    ending = end(state, redrive=1)
    assert ending["status"] == "COMPLETE"
    (event,) = heard()
    assert (event["source"], event["detail-type"]) == ("zblocks", "Volume published")
    assert event["detail"] == {**ending, "execution": EXECUTION}
    assert ending["link"].startswith("https://")


@pytest.fixture
def whole(job, cloud):
    """A function: the state of an execution whose blocks and coarser scales are done."""
    sound = cloud.s3.get_object(Bucket="slices", Key="s/s_099.png")["Body"].read()
    cloud.s3.put_object(Bucket="slices", Key="s/s_100.png", Body=sound)

    def run(execution=EXECUTION, **fields):
        state = plan.handler({"input": job | fields, "execution": execution}, CONTEXT)
        run_blocks(state)
        event = {k: state[k] for k in ("destination", "execution", "allow_partial")}
        for item in coarse_items(state):
            worker.handler(event | {"item": item}, CONTEXT)
        return state

    return run


@NOTHING_COUNTED
def test_finalize_is_tried_again_under_its_lock_after_an_error_of_the_store(
    whole, cloud, monkeypatch
):
    state, put = whole(), Store.put_json

    def fail(store, key, data):
        if key == "info":
            raise StorageError("503")
        put(store, key, data)

    monkeypatch.setattr(Store, "put_json", fail)
    with pytest.raises(StorageError):
        end(state)
    monkeypatch.setattr(Store, "put_json", put)
    folder = state["destination"].rpartition("/")[2]
    assert f"{folder}/.zblocks/lock.json" in cloud.keys("volumes")
    assert end(state)["status"] == "COMPLETE"
    assert f"{folder}/.zblocks/lock.json" not in cloud.keys("volumes")


@NOTHING_COUNTED
def test_finalize_whose_answer_was_lost_gives_it_again(whole):
    state = whole()
    first = end(state)
    assert first["status"] == "COMPLETE"
    assert end(state) == first
    with pytest.raises(DestinationClaimed, match="it was given back"):
        end(state | {"execution": f"{EXECUTION}0"})


@NOTHING_COUNTED
def test_a_redrive_does_not_go_on_with_the_plan_of_another_run(job, whole, cloud):
    """A run of other voxels has published its volume since; it stays as it is."""
    shifted = job | {"voxel_offset": [8, 8, 8]}
    lost = plan.handler({"input": shifted, "execution": EXECUTION}, CONTEXT)
    with pytest.raises(IncompleteVolume):
        end(lost)
    assert end(whole(f"{EXECUTION}0", overwrite=True))["status"] == "COMPLETE"
    before = etags(cloud)
    with pytest.raises(DestinationClaimed, match="another run has put its plan there"):
        end(lost, redrive=1)
    assert etags(cloud) == before


def etags(cloud):
    found = cloud.s3.list_objects_v2(Bucket="volumes")["Contents"]
    return {each["Key"]: each["ETag"] for each in found}


def test_the_record_of_blocks_goes_when_a_volume_is_published(job, cloud):
    """Of all Map Runs of this destination; that of a volume below it stays."""
    folder = job["destination"].removeprefix("s3://volumes/")
    runs = [f"{n}c8f1a2b-0d3e-4f56-8a7b-9c0d1e2f3a4b" for n in range(3)]
    ours = [
        f".zblocks/map/{folder}/{runs[0]}/manifest.json",
        f".zblocks/map/{folder}/{runs[0]}/FAILED_0.json",
        f".zblocks/map/{folder}/{runs[1]}/SUCCEEDED_0.json",
    ]
    others = [
        f".zblocks/map/{folder}/below/{runs[2]}/manifest.json",
        f".zblocks/map/{folder}/{runs[2]}/{runs[2]}/manifest.json",  # a volume of such a name
        f".zblocks/map/{folder}-2/{runs[0]}/manifest.json",
    ]
    for key in (*ours, *others):
        cloud.s3.put_object(Bucket="volumes", Key=key, Body=b"{}")
    config = job | {"allow_partial": True, "damaged": "error"}
    state = plan.handler({"input": config, "execution": EXECUTION}, CONTEXT)
    assert {key.rpartition("/")[0] for key in ours} == {
        f"{state['map_prefix']}/{run}" for run in runs[:2]
    }
    run_blocks(state)
    assert set(ours) < cloud.keys("volumes")
    assert end(state)["status"] == "PARTIAL"
    assert {key for key in cloud.keys("volumes") if key.startswith(".zblocks/")} == set(others)


OUT_OF_MEMORY = ["Runtime.OutOfMemory", "Runtime.ExitError", "Lambda.Unknown"]


@pytest.mark.parametrize("name", OUT_OF_MEMORY)
def test_a_killed_worker_is_named_with_advice(job, cloud, name):
    """Out of memory, it could not say a word itself."""
    job["destination"] += "-killed"
    state = plan.handler({"input": job, "execution": EXECUTION}, CONTEXT)
    item = items_of(state)[2]
    error = {"Error": name, "Cause": "RequestId: 1 Error: Runtime exited"}
    worker.handler({"destination": state["destination"], "item": item, "error": error}, CONTEXT)
    with pytest.raises(IncompleteVolume, match="lack of memory: raise worker_memory_mb"):
        end(state)


@pytest.mark.parametrize("name", OUT_OF_MEMORY)
def test_so_is_one_that_makes_coarser_scales(job, cloud, name):
    job["destination"] += "-killed"
    sound = cloud.s3.get_object(Bucket="slices", Key="s/s_099.png")["Body"].read()
    cloud.s3.put_object(Bucket="slices", Key="s/s_100.png", Body=sound)
    state = plan.handler({"input": job, "execution": EXECUTION}, CONTEXT)
    run_blocks(state)
    (item,) = coarse_items(state)
    error = {"Error": name, "Cause": "RequestId: 1 Error: Runtime exited"}
    worker.handler({"destination": state["destination"], "item": item, "error": error}, CONTEXT)
    with pytest.raises(IncompleteVolume, match=r"coarse-00000: RequestId.*lack of memory: raise"):
        end(state)


@pytest.mark.parametrize("name", OUT_OF_MEMORY)
def test_an_error_of_the_map_itself_is_named_with_advice(job, cloud, name):
    job["destination"] += "-killed"
    state = plan.handler({"input": job, "execution": EXECUTION}, CONTEXT)
    error = {"Error": name, "Cause": "RequestId: 1 Error: Runtime exited"}
    with pytest.raises(IncompleteVolume, match=f"{name}: RequestId.*lack of memory: raise"):
        end(state, error=error)


def test_every_line_names_the_execution_and_a_block_its_own(job, said):
    job["destination"] += "-said"
    state = plan.handler({"input": job, "execution": EXECUTION}, CONTEXT)
    assert state["execution"] == EXECUTION
    run_blocks(state)
    with pytest.raises(IncompleteVolume):
        end(state)
    lines = said()
    assert {line["execution"] for line in lines} == {EXECUTION}
    assert [(line["message"], line.get("block")) for line in lines] == [
        ("planned", None),
        ("block begun", "block-00000"),
        ("block converted", "block-00000"),
        ("block begun", "block-00001"),
        ("block failed", "block-00001"),
        ("block begun", "block-00002"),
        ("block converted", "block-00002"),
        ("volume failed", None),
    ]
    assert {line["function_request_id"] for line in lines} == {"1"}
    assert "s_100.png" in lines[4]["cause"]


def test_blocks_voxels_and_memory_are_counted(job, capsys):
    job["destination"] += "-counted"
    state = plan.handler({"input": job, "execution": EXECUTION}, CONTEXT)
    run_blocks(state)
    run_blocks(state)  # delivered again: what is done isn't counted twice
    found = counted(capsys.readouterr().out)
    assert found["BlocksPlanned"] == [3]
    assert found["BlocksDone"] == [1, 1]
    assert found["BlocksFailed"] == [1, 1]
    assert sum(found["Voxels"]) == 86 * 40 * 50  # z 64 to 128 hold the broken slice
    assert len(found["PeakMemory"]) == 8
    assert min(found["PeakMemory"]) > 30


def test_an_event_that_cannot_be_sent_fails_nothing(monkeypatch, said):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    finalize.announce("Volume published", {"status": "COMPLETE"}, EXECUTION)
    (line,) = said()
    assert (line["level"], line["message"]) == ("WARNING", "event not sent")
    assert "127.0.0.1:9" in line["error"]


@pytest.mark.filterwarnings("ignore:No application metrics")  # as on Lambda: Plan made none
def test_a_run_above_its_ceiling_ends_in_plan_with_nothing_written(job, cloud):
    """In the cloud the whole bill counts, not only requests: compute is most of it here."""
    job |= {"destination": f"{job['destination']}-dear", "max_cost_usd": 0.0005}
    before = cloud.keys("volumes")
    with pytest.raises(CostCeiling, match="most of it is Lambda compute"):
        plan.handler({"input": job, "execution": EXECUTION}, CONTEXT)
    assert cloud.keys("volumes") == before
    job["max_cost_usd"] = 0.01
    state = plan.handler({"input": job, "execution": EXECUTION}, CONTEXT)
    assert len(items_of(state)) == 3


@pytest.fixture
def dropped(cloud):
    """A function: a config put at jobs/a.json in the bucket `slices` → Plan's event."""

    def put(body, key="jobs/a.json"):
        etag = cloud.s3.put_object(Bucket="slices", Key=key, Body=body)["ETag"].strip('"')
        upload = {"bucket": "slices", "key": key, "etag": etag, "sequencer": etag[:8]}
        return {"input": {"trigger": upload}, "execution": EXECUTION}

    return put


def refused(event, error):
    with pytest.raises(error) as caught:
        plan.handler(event, CONTEXT)
    return str(caught.value)


@NOTHING_COUNTED
@pytest.mark.parametrize(
    ("change", "error"),
    [
        ('{"source": ', "InvalidConfig"),
        ({"sorce": "s3://slices/s"}, "InvalidConfig"),
        ({"destination": "s3://other/a"}, "InvalidConfig"),
        ({"source": "s3://slices/nothing"}, "SliceListError"),
        ({"max_cost_usd": 1e-9}, "CostCeiling"),
    ],
)
def test_an_upload_that_cannot_be_planned_is_answered_beside_it(job, cloud, dropped, change, error):
    text = change if isinstance(change, str) else json.dumps(job | change)
    message = refused(dropped(text), Exception)
    said = cloud.json("slices", "jobs/a.error.json")
    assert said == {"error": error, "message": message, "execution": EXECUTION}
    # The answer is an upload, too, and ends where it begins.
    before = cloud.keys("slices"), cloud.keys("volumes")
    event = dropped(json.dumps(said), "jobs/a.error.json")
    assert plan.handler(event, CONTEXT) == {"status": "duplicate"}
    assert (cloud.keys("slices"), cloud.keys("volumes")) == before

    job["destination"] += f"-{error}"
    assert plan.handler(dropped(json.dumps(job)), CONTEXT)["status"] == "planned"
    assert "jobs/a.error.json" not in cloud.keys("slices")


@NOTHING_COUNTED
def test_an_error_that_nobody_foresaw_is_answered_without_keys(job, cloud, dropped, monkeypatch):
    def broken(*_):
        raise RuntimeError("AKIAIOSFODNN7EXAMPLE is refused")

    monkeypatch.setattr(plan, "prepare", broken)
    refused(dropped(json.dumps(job)), RuntimeError)
    said = cloud.json("slices", "jobs/a.error.json")
    assert (said["error"], said["message"]) == ("RuntimeError", "(a key, not shown) is refused")


@NOTHING_COUNTED
def test_a_killed_plan_is_answered_beside_its_upload(cloud, dropped):
    """By Plan's function itself, which Step Functions calls with what it caught."""
    error = {"Error": "Runtime.ExitError", "Cause": "RequestId: 1 Error: signal: killed"}
    assert plan.handler(dropped("{}") | {"error": error}, CONTEXT) == {"status": "killed"}
    said = cloud.json("slices", "jobs/a.error.json")
    assert (said["error"], said["execution"]) == ("Runtime.ExitError", EXECUTION)
    assert "without an answer, twice: RequestId: 1 Error: signal: killed" in said["message"]
    event = {"input": {"source": "s3://slices/s"}, "execution": EXECUTION, "error": error}
    assert plan.handler(event, CONTEXT) == {"status": "killed"}  # nobody uploaded it


def test_plan_writes_documents_only(job, cloud):
    """Its role may write nothing else: infra/buckets.py."""
    job["destination"] += "-documents"
    before = cloud.keys("volumes")
    plan.handler({"input": job, "execution": EXECUTION}, CONTEXT)
    assert {key.split("/")[1] for key in set(cloud.keys("volumes")) - set(before)} == {".zblocks"}
