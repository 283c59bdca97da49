"""What the deployed functions do, in this process."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from handlers import finalize, plan, worker
from tests.map_items import coarse_items, items_of

ACCOUNT = "us-east-1:111122223333"
CONTEXT = SimpleNamespace(
    function_name="zblocks", memory_limit_in_mb=1769, aws_request_id="1",
    invoked_function_arn=f"arn:aws:lambda:{ACCOUNT}:function:zblocks",
)  # fmt: skip
EXECUTION = f"arn:aws:states:{ACCOUNT}:execution:zblocks:run-1"


def plan_on_lambda(job: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Plan a job as the deployed function does; return the execution's state."""
    bucket = job["destination"].removeprefix("s3://").partition("/")[0]
    monkeypatch.setenv("ZBLOCKS_DESTINATION_BUCKET", bucket)
    monkeypatch.setenv("ZBLOCKS_WORKER_MEMORY_MB", "3538")
    return plan.handler({"input": job, "execution": EXECUTION}, CONTEXT)


def convert_on_lambda(job: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Convert a job as the deployed functions do; return what Finalize returns."""
    state = plan_on_lambda(job, monkeypatch)
    event = {name: state[name] for name in ("destination", "execution", "allow_partial")}
    for item in (*items_of(state), *coarse_items(state)):
        worker.handler(event | {"item": item}, CONTEXT)
    event |= {"redrive": 0, "error": {}, "volume_id": state["volume_id"]}
    return finalize.handler(event, CONTEXT)
