"""Workers of a stopped run go on; what they do must not get into the next run's volume."""

from __future__ import annotations

import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import boto3
import numpy as np
import pytest
from typer.testing import CliRunner

from handlers import finalize, plan, worker
from tests.flow.conftest import QUOTA, textured, write_stack, zblocks
from tests.flow.test_handlers import CONTEXT
from tests.map_items import coarse_items, items_of
from tests.references import read_tensorstore
from zblocks.cli import execution
from zblocks.cli.commands import app
from zblocks.errors import DestinationClaimed
from zblocks.run import lock
from zblocks.run.cloud import executions
from zblocks.storage import Store, open_store

SECONDS = 60

pytestmark = pytest.mark.filterwarnings("ignore:No application metrics")  # as on Lambda


@pytest.fixture
def states(cloud, monkeypatch):
    """Step Functions with a machine that never ends; a function that starts executions."""
    monkeypatch.setattr(executions, "_clients", {})
    client = boto3.client("stepfunctions", endpoint_url=cloud.endpoint, region_name="us-east-1")
    made = client.create_state_machine(
        name="zblocks",
        definition=json.dumps({"StartAt": "A", "States": {"A": {"Type": "Pass", "End": True}}}),
        roleArn="arn:aws:iam::123456789012:role/zblocks",
    )
    client.machine = made["stateMachineArn"]
    client.begin = lambda: client.start_execution(stateMachineArn=made["stateMachineArn"])[
        "executionArn"
    ]
    return client


@pytest.fixture
def config(tmp_path, cloud, monkeypatch):
    """A function: the config of an upload of the stack with other voxels each time."""
    monkeypatch.setenv("ZBLOCKS_DESTINATION_BUCKET", "volumes")
    monkeypatch.setenv("ZBLOCKS_WORKER_MEMORY_MB", "3008")

    def make(seed, **fields):
        folder = tmp_path / f"in{seed}"
        write_stack(folder, textured((70, 40, 50, 1), "uint8", seed))
        cloud.upload(folder, "slices", f"{seed}/")
        place = {"source": f"s3://slices/{seed}", "destination": f"s3://volumes/{tmp_path.name}"}
        return {**place, "voxel_resolution": [4, 4, 40], **fields}

    return make


class Held:
    """Holds the first chunk that is stored, until the test goes on."""

    def __init__(self, monkeypatch):
        self.reached, self.go_on = threading.Event(), threading.Event()
        put, first = Store.put, threading.Lock()

        def wait(store, key, *rest):
            if not key.startswith(".zblocks") and first.acquire(blocking=False):
                self.reached.set()
                self.go_on.wait(SECONDS)
            return put(store, key, *rest)

        monkeypatch.setattr(Store, "put", wait)


def begin(config, execution):
    return plan.handler({"input": config, "execution": execution}, CONTEXT)


def events(state):
    given = {k: state[k] for k in ("destination", "execution")}
    return [given | {"item": item} for item in items_of(state)]


def finish(state):
    for event in events(state):
        worker.handler(event, CONTEXT)
    given = {k: state[k] for k in ("destination", "execution")}
    for item in coarse_items(state):
        worker.handler(given | {"allow_partial": False, "item": item}, CONTEXT)
    return finalize.handler(given | {"error": {}, "volume_id": state["volume_id"]}, CONTEXT)


def later(monkeypatch, seconds):
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + seconds)


def voxels(cloud, tmp_path):
    info = cloud.json("volumes", f"{tmp_path.name}/info")
    spec = {"driver": "s3", "bucket": "volumes", "path": f"{tmp_path.name}/"}
    spec |= {"endpoint": cloud.endpoint, "aws_region": "us-east-1"}
    return read_tensorstore(spec, info)[0]


def test_a_late_worker_of_a_stopped_run_writes_nothing(
    cloud, states, config, tmp_path, monkeypatch
):
    """The next run waits until none can write any more; a worker that could, ends by name."""
    first, second = states.begin(), states.begin()
    state = begin(config(1), first)
    held = Held(monkeypatch)
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(worker.handler, events(state)[0], CONTEXT)
        assert held.reached.wait(SECONDS)
        states.stop_execution(executionArn=first)
        other = config(2, overwrite=True)
        with pytest.raises(DestinationClaimed, match=rf"{first} ended .* may write until \d{{4}}-"):
            begin(other, second)
        later(monkeypatch, lock.FUNCTIONS_END + 5)
        state = begin(other, second)
        ended = finish(state)
        held.go_on.set()
        with pytest.raises(DestinationClaimed, match=r"no longer has the lock .*it was given back"):
            late.result(SECONDS)
    assert ended["status"] == "COMPLETE"
    np.testing.assert_array_equal(voxels(cloud, tmp_path), textured((70, 40, 50, 1), "uint8", 2))
    assert not [k for k in cloud.keys("volumes") if "/.zblocks/failures/" in k]


def test_a_run_of_the_very_same_plan_goes_on_at_once(cloud, states, config, tmp_path, monkeypatch):
    first, second = states.begin(), states.begin()
    state = begin(config(1), first)
    held = Held(monkeypatch)
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(worker.handler, events(state)[0], CONTEXT)
        assert held.reached.wait(SECONDS)
        states.stop_execution(executionArn=first)
        ended = finish(begin(config(1), second))
        held.go_on.set()
        with pytest.raises(DestinationClaimed):
            late.result(SECONDS)
    assert ended["status"] == "COMPLETE"
    np.testing.assert_array_equal(voxels(cloud, tmp_path), textured((70, 40, 50, 1), "uint8", 1))


def test_a_run_that_cant_be_asked_after_is_named(cloud, states, config, monkeypatch):
    """Another account's: its lock is void without a sign of life for an hour."""
    state = begin(config(1), states.begin())
    store = open_store(state["destination"])
    foreign = "arn:aws:states:us-east-1:444455556666:execution:theirs:run-7"
    store.put_json(
        lock.LOCK, store.get(lock.LOCK).replace(state["execution"].encode(), foreign.encode())
    )
    monkeypatch.setattr(plan, "ask", lambda _: lock.Holder("unknown", why="AccessDeniedException"))
    words = rf"by {foreign} since .*of the state machine theirs in account 444455556666, us-east-1"
    with pytest.raises(DestinationClaimed, match=f"{words}.*AccessDenied.*void at"):
        begin(config(1), states.begin())
    later(monkeypatch, lock.STALE + 60)
    assert finish(begin(config(1), states.begin()))["status"] == "COMPLETE"


@pytest.fixture
def start(states, config, tmp_path):
    """The arguments of `zblocks start` for a config of other voxels, which replaces a volume."""
    path = tmp_path / "job.json"
    path.write_text(json.dumps(config(2, overwrite=True)))
    return ["start", str(path), "--machine", states.machine, "--no-watch"]


def test_start_waits_until_workers_of_a_stopped_run_write_no_more(
    states, config, start, monkeypatch
):
    first = states.begin()
    begin(config(1), first)
    states.stop_execution(executionArn=first)
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 2:
            later(monkeypatch, lock.FUNCTIONS_END + 5)

    clock = {name: getattr(time, name) for name in ("time", "strftime", "gmtime")}
    monkeypatch.setattr(execution, "time", SimpleNamespace(sleep=sleep, **clock))
    done = CliRunner().invoke(app, [*start, "--no-plan", "--wait"])
    assert done.exit_code == 0, done.stderr
    assert slept == [execution.WAIT] * 2
    (said,) = re.findall(r"^waiting: (.*)$", done.stderr, re.MULTILINE)  # once, not at each look
    assert f"{first} ended without giving its lock back, and workers" in said
    begun = states.describe_execution(executionArn=done.stdout.strip())
    assert json.loads(begun["input"])["overwrite"] is True


def test_start_says_what_the_quota_does_to_the_time(cloud, start, monkeypatch):
    monkeypatch.setitem(QUOTA, "UnreservedConcurrentExecutions", 1)
    done = zblocks(*start)
    assert done.code == 0, done.err
    assert "warning: Lambda's quota: this account may run 1 functions at once, so that" in done.err
    assert "aws service-quotas request-service-quota-increase --service-code lambda" in done.err
    monkeypatch.setitem(QUOTA, "UnreservedConcurrentExecutions", 10)  # there are two blocks
    assert "quota" not in zblocks(*start).err
