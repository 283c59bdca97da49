"""Starts an execution: plans its job, stores the plan, and returns the execution's state.

An upload that can't be planned is answered beside it, in `NAME.error.json`. That starts an
execution, too, since no rule of EventBridge can leave it out; it ends here.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext

from handlers import logger, metrics
from handlers.sizes import a_round, deployed
from zblocks.config import MAX_BYTES, Config, read_object
from zblocks.errors import InvalidConfig, ZblocksError, hide_keys
from zblocks.planning.bill import WorkerPool
from zblocks.planning.requests import blocks_at_once, coarse_at_once
from zblocks.planning.stores import open_stores
from zblocks.run.cloud.executions import ask, functions_at_once
from zblocks.run.job import map_prefix, stage_key
from zblocks.run.start import Prepared, Run, prepare
from zblocks.storage import StoredFile, home_region, open_store

ANSWER = ".error.json"


@logger.inject_lambda_context(clear_state=True)
@metrics.log_metrics
def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Plan the job of an execution's `input`: a config, or a pointer to an uploaded one.

    An event with `error`, which Step Functions caught, is answered: a killed Plan can't do that.
    """
    given, execution = event["input"], event["execution"]
    logger.append_keys(execution=execution)
    upload = given.get("trigger")
    if error := event.get("error"):
        return say_killed(upload, error, execution)
    if upload is None:
        return start(given, execution)
    if upload["key"].endswith(ANSWER):
        return {"status": "duplicate"}
    try:
        result = start(given, execution)
    except Exception as error:
        said = {"error": type(error).__name__, "message": hide_keys(str(error))}
        answer(upload, said | {"execution": execution})
        raise
    answer(upload, None)
    return result


def say_killed(
    upload: Mapping[str, str] | None, error: Mapping[str, str], execution: str
) -> dict[str, Any]:
    """Say beside an upload, if there is one, that Plan was killed."""
    logger.error("plan killed", error=error)
    if upload:
        text = (
            f"Plan ended without an answer, twice: {error.get('Cause', '')[:1000]}; upload the "
            "config again, and if that ends likewise, convert on one machine (zblocks convert)"
        )
        said = {"error": error["Error"], "message": hide_keys(text), "execution": execution}
        answer(upload, said)
    return {"status": "killed"}


def start(given: Mapping[str, Any], execution: str) -> dict[str, Any]:
    """Store the plan of an input; return the execution's state."""
    config, trigger = read_input(given)
    notes = config.for_cloud()
    refuse_other_places(config)
    run = Run(execution=execution, trigger=trigger, region=home_region(), ask=ask)
    prepared = prepare(config, open_stores(config), deployed(), run)
    metrics.add_metric(name="BlocksPlanned", unit=MetricUnit.Count, value=len(prepared.pending))
    result = as_state(prepared, config, execution, functions_at_once())
    logger.info("planned", notes=notes, **result)
    return result


def answer(upload: Mapping[str, str], said: Mapping[str, str] | None) -> None:
    """Say beside an upload why it wasn't planned, or take back what was said before."""
    key, store = (
        upload["key"].removesuffix(".json") + ANSWER,
        open_store(f"s3://{upload['bucket']}"),
    )
    try:
        if said is None:
            store.delete([key])
        else:
            store.put_json(key, json.dumps(said, indent=2, ensure_ascii=False).encode())
    except (ZblocksError, OSError) as error:  # it matters less than the plan, or its own error
        logger.warning("not answered", key=key, error=str(error))


def read_input(given: Mapping[str, Any]) -> tuple[Config, str]:
    """Return the config, and the id of the upload that started this, or ""."""
    if "trigger" not in given:
        return Config.parse(given, base=None), ""
    upload = given["trigger"]
    place = f"s3://{upload['bucket']}/{upload['key']}"
    store = open_store(f"s3://{upload['bucket']}")
    found = store.head(upload["key"])
    if found is None:
        raise InvalidConfig(f"{place}: deleted before it was read; upload it again")
    # One byte more than the limit is enough to refuse a config.
    file = StoredFile(store, upload["key"], found.bytes, found.etag)
    data = read_object(file.read_at(0, MAX_BYTES + 1), place)
    # These four identify an upload however often its event is delivered.
    return Config.parse(data, base=None), f"{place}@{upload['etag']}:{upload['sequencer']}"


def refuse_other_places(config: Config) -> None:
    """Refuse destinations that this deployment may not write."""
    ours = os.environ["ZBLOCKS_DESTINATION_BUCKET"]
    bucket, _, folder = config.destination.removeprefix("s3://").partition("/")
    if bucket != ours:
        raise InvalidConfig(
            f"destination: {config.destination} is not in the bucket that this deployment may "
            f'write; use "s3://{ours}/…", or redeploy with `-c destination_bucket={bucket}`'
        )
    if folder.split("/")[0] == "jobs":
        raise InvalidConfig(
            f"destination: {config.destination}: uploads to jobs/ start conversions, and so would "
            "the volume's documents; use another folder"
        )


def as_state(
    prepared: Prepared, config: Config, execution: str, quota: int | None = None
) -> dict[str, Any]:
    """Return the execution's state, whose size doesn't grow with the stack.

    `quota`: functions that the account may run at once. More tasks than that, or than S3's request
    rates keep busy, would only wait.
    """
    plan, pool = prepared.plan, WorkerPool(config.max_concurrency, quota=quota)
    bucket, _, folder = plan.destination.removeprefix("s3://").partition("/")
    folder = folder.rstrip("/")
    blocks, coarse = blocks_at_once(plan, prepared.pending, pool), coarse_at_once(plan, pool)
    return {
        "status": "duplicate" if prepared.duplicate else "planned",
        "execution": execution,
        "destination": plan.destination,
        "bucket": bucket,
        "map_prefix": map_prefix(plan.destination),
        "volume_id": plan.volume_id,
        "stages": [
            {"key": f"{folder}/{stage_key(number)}".lstrip("/"), "max_concurrency": at_once}
            for number, at_once in enumerate((blocks, *(coarse for _ in plan.coarse_stages)))
        ],
        "stage_count": 1 + len(plan.coarse_stages),
        "allow_partial": config.allow_partial,
        "round": a_round(plan, len(prepared.pending)),
    }
