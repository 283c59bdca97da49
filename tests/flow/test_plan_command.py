"""`zblocks plan`: everything is said beforehand, and nothing is written anywhere."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from moto.core.responses import ActionResult
from moto.s3.responses import S3Response

from benchmarks.scaling import plan_of
from tests.chaos.proxy import Weather, failing
from tests.flow.conftest import QUOTA, textured, write_stack, zblocks
from zblocks.planning.bill import Prices, WorkerPool
from zblocks.planning.cost import estimate
from zblocks.planning.documents import plan_from_json
from zblocks.run.forecast import _limits


def files(folder):
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}


def objects(cloud):
    return {
        (bucket, o["Key"], o["ETag"], o["LastModified"])
        for bucket in ("slices", "volumes")
        for o in cloud.s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    }


@pytest.fixture
def bucket(tmp_path, cloud, write_config):
    """150 slices in a bucket: three blocks, and a config to go with them."""
    write_stack(tmp_path / "in", textured((150, 64, 96, 1), "uint8"), ".jpg")
    cloud.upload(tmp_path / "in", "slices", "s/")

    def write(**fields):
        places = {"source": "s3://slices/s", "destination": f"s3://volumes/{tmp_path.name}"}
        return write_config(**{**places, **fields})

    return write


def test_between_buckets_the_workers_are_lambdas(bucket, cloud):
    config, before = bucket(max_concurrency=2), objects(cloud)
    said = zblocks("plan", config, "--json").json
    assert objects(cloud) == before
    assert (said["where"], said["blocks"], said["due"], said["resumes"]) == ("cloud", 3, 3, False)
    workers = {"concurrency": 2, "architecture": "arm64", "cloud": True}
    assert said["workers"] == workers | {"memory_mb": 1769, "sizes_mb": [1769, 3008]}
    assert "of 1769 MiB (the cheapest of 1769 and 3008 MiB), " in zblocks("plan", config).out
    fixed = zblocks("plan", config, "--memory", "2048", "--json").json["workers"]
    assert fixed == workers | {"memory_mb": 2048, "sizes_mb": [2048]}
    services = {row["service"] for row in said["bill"]}
    assert services == {"Lambda", "Step Functions", "CloudWatch", "S3"}
    assert said["dollars"] == pytest.approx(sum(row["dollars"] for row in said["bill"]))
    assert said["predicted"]["blocks_s"] == pytest.approx(
        said["predicted"]["block_s"] + (said["predicted"]["block_s"] - 4) * 22 / 64 + 4, abs=0.1
    )


def test_the_quota_of_the_account_is_counted_and_how_to_raise_it_is_said(
    bucket, cloud, monkeypatch
):
    monkeypatch.setitem(QUOTA, "UnreservedConcurrentExecutions", 2)
    few, narrow = zblocks("plan", bucket()), zblocks("plan", bucket(), "--json").json
    assert "with up to 2 Lambdas" in few.out
    assert "Lambda's quota: this account may run 2 functions at once" in few.out
    assert "--service-code lambda --quota-code L-B99A9384 --desired-value 1000" in few.out
    monkeypatch.setitem(QUOTA, "UnreservedConcurrentExecutions", 10)
    said = zblocks("plan", bucket(), "--json").json
    assert (said["workers"]["concurrency"], said["workers"]["quota"]) == (200, 10)
    assert not [line for line in said["warnings"] if "quota" in line]  # there are three blocks
    assert said["predicted"]["blocks_s"] < narrow["predicted"]["blocks_s"]


def test_what_is_said_is_what_is_made(bucket, cloud, tmp_path):
    """The scales, objects and requests of a run are those of its plan; sizes are near."""
    weather = Weather(0, 0)
    with failing(cloud.endpoint, weather) as endpoint:
        config, env = bucket(), {"AWS_ENDPOINT_URL": endpoint}
        memory = ("--workers", "1", "--memory", "3008")
        said = zblocks("plan", config, "--json").json
        weather.passed.clear()
        assert zblocks("convert", config, *memory, env=env).code == 0
    folder = tmp_path.name
    plan = cloud.json("volumes", f"{folder}/.zblocks/plan.json")
    made = plan_from_json(json.dumps(plan).encode())
    keys = cloud.keys("volumes")
    for row, scale in zip(said["scales"], made.scales, strict=True):
        assert (row["key"], row["size"]) == (scale.key, list(scale.box.shape))
        there = sum(k.startswith(f"{folder}/{row['key']}/") for k in keys)
        assert row["objects"] == there
    bill = {row["what"]: row["quantity"] for row in said["bill"]}
    assert weather.passed["PUT"] == pytest.approx(bill["PUT"], abs=4)
    seen = weather.passed["GET"] + weather.passed["HEAD"]  # lists are GETs, too
    assert seen == pytest.approx(bill["GET"] + bill["LIST"], rel=0.1)


def test_a_run_that_was_interrupted_is_seen(bucket, cloud, tmp_path):
    config = bucket()
    assert zblocks("convert", config).code == 0
    receipts = f"{tmp_path.name}/.zblocks/receipts/"
    cloud.s3.delete_object(Bucket="volumes", Key=f"{receipts}block-00001.json")
    before = objects(cloud)
    done = zblocks("plan", config)
    assert objects(cloud) == before
    assert done.code == 0, done.err
    assert "resuming: 1 of 3 blocks pending" in done.out


def test_folders_plan_this_machine_and_say_what_the_cloud_would_take(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((70, 64, 96, 1), "uint8"))
    config = write_config()
    before = files(tmp_path)
    done = zblocks("plan", config, "--memory", "500", "--concurrency", "3")
    assert files(tmp_path) == before
    assert not (tmp_path / "out").exists()
    assert done.code == 0, done.err
    assert "96×64×70 uint8" in done.out
    assert "3 local processes" in done.out
    assert "cost: $0.00" in done.out
    assert "on AWS, between buckets" in done.out
    said = zblocks("plan", config, "--json").json
    assert (said["where"], said["dollars"], said["bill"]) == ("one machine", 0, [])
    assert said["in_the_cloud"]["dollars"] > 0


def test_a_different_volume_there_would_be_refused(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((5, 64, 96, 1), "uint8"))
    assert zblocks("convert", write_config()).code == 0
    before = files(tmp_path / "out")
    done = zblocks("plan", write_config(voxel_resolution=[5, 5, 40]))
    assert done.code == 2
    assert "would be refused: DestinationConflict" in done.out
    assert files(tmp_path / "out") == before


def test_a_run_above_its_ceiling_is_refused_with_nothing_written(bucket, cloud):
    config, before = bucket(max_cost_usd=0.00001), objects(cloud)
    done = zblocks("convert", config)
    assert done.code == 2
    assert "CostCeiling: max_cost_usd: this run is predicted to cost $0.00" in done.err
    assert "most of it is S3 PUT" in done.err
    said = zblocks("plan", config)
    assert (said.code, "would be refused: CostCeiling" in said.out) == (2, True)
    assert objects(cloud) == before
    assert zblocks("convert", bucket(max_cost_usd=1)).code == 0


def test_a_ceiling_counts_what_is_due_only(bucket, cloud):
    """A finished volume costs nothing but the looks at it."""
    assert zblocks("convert", bucket()).code == 0
    said = zblocks("plan", bucket(), "--json").json
    assert said["due"] == 0
    assert said["dollars"] < 0.001
    assert zblocks("convert", bucket(max_cost_usd=0.001)).code == 0


def test_folders_cost_nothing(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((5, 64, 96, 1), "uint8"))
    assert zblocks("convert", write_config(max_cost_usd=1e-9)).code == 0


@pytest.fixture
def sending(monkeypatch):
    """Let every bucket send EventBridge its events: moto keeps that, and doesn't tell."""

    def told(self):
        self.data["Action"] = "GetBucketNotificationConfiguration"
        return self.serialized(ActionResult({"EventBridgeConfiguration": {}}))

    monkeypatch.setattr(S3Response, "get_bucket_notification", told)


def test_a_bucket_that_sends_events_is_billed_for_each_object(bucket, cloud, request):
    quiet = zblocks("plan", bucket(), "--json").json
    request.getfixturevalue("sending")
    said = zblocks("plan", bucket(), "--json").json
    rows = {row["what"]: row for row in said["bill"]}
    assert rows["events"]["quantity"] == rows["PUT"]["quantity"] > 0
    assert said["dollars"] == pytest.approx(quiet["dollars"] + rows["events"]["dollars"])
    assert [w for w in said["warnings"] if "sends EventBridge an event for each object" in w]
    assert not [w for w in quiet["warnings"] if "EventBridge" in w]
    assert zblocks("convert", bucket()).code == 0
    (report,) = (key for key in cloud.keys("volumes") if key.endswith(".zblocks/report.json"))
    bill = cloud.json("volumes", report)["bill"]
    for which in ("predicted", "actual"):
        assert [row["unit_price"] for row in bill[which] if row["what"] == "events"] == [1e-6]


def test_prices_that_could_not_be_confirmed_are_marked(bucket, tmp_path):
    """In the table, in JSON and in reports; what the user's file names is taken as it is."""
    config, prices = bucket(), tmp_path / "prices.json"
    prices.write_text('{"get_thousand": 0.0004, "storage_gb_month": 0.023}')
    ours = zblocks("plan", config, "--concurrency", "3").out
    assert re.search(r"S3 +PUT .* unconfirmed 0\.000005 ", ours)
    assert re.search(r"S3 +GET .* unconfirmed 0\.0000004 ", ours)
    assert "per month (price unconfirmed)" in ours
    theirs = zblocks("plan", config, "--prices", prices).out
    assert re.search(r"S3 +PUT .* unconfirmed 0\.000005 ", theirs)
    assert re.search(r"S3 +GET +\d+ +requests +0\.0000004 ", theirs)
    assert theirs.rstrip().endswith("per month")
    bill = zblocks("plan", config, "--json").json["bill"]
    assert {row["what"]: row["unconfirmed"] for row in bill} == {
        row["what"]: row["what"] not in ("calls", "transitions") for row in bill
    }


def test_other_prices(bucket, tmp_path):
    config, prices = bucket(), tmp_path / "prices.json"
    prices.write_text('{"put_thousand": 1000}')
    said = zblocks("plan", config, "--json", "--prices", prices).json
    (put,) = [row for row in said["bill"] if row["what"] == "PUT"]
    assert put["dollars"] == put["quantity"]
    prices.write_text('{"put": 1000}')
    done = zblocks("plan", config, "--prices", prices)
    assert done.code == 2
    assert '"put": no such field' in done.err


@pytest.mark.parametrize(
    ("shape", "dtype", "fields", "warning"),
    [
        ((3, 40, 50, 1), "uint8", {"voxel_resolution": [0.5, 0.5, 10]},
         "0.5×0.5×10 nm is finer than any microscope; if these are micrometres, write 500, 500"),
        ((3, 40, 50, 1), "uint8", {"voxel_resolution": [4e7, 4e7, 1e9]}, "not of the volume"),
        ((3, 40, 50, 1), "uint8", {"voxel_resolution": [4, 4, 40000]}, "10,000 times another"),
        ((3, 40, 50, 3), "uint8", {"chunk_size": [8, 8, 1024]}, "is 3072 long, but viewers draw"),
        ((3, 40, 50, 1), "uint8", {"voxel_offset": [0, 1 << 25, 0]}, "can't tell neighbouring"),
        ((3, 200, 200, 1), "uint8", {"voxel_offset": [1, 0, 0]}, "is not a multiple of"),
        ((3, 40, 50, 1), "uint8", {"sorted_filename": ["s_000 0", "gone 1", "s_001 2", "s_002 3"]},
         "1 of 4 slices will be filled: z 1 gone"),
    ],
)  # fmt: skip
def test_what_looks_wrong_is_said(tmp_path, write_config, shape, dtype, fields, warning):
    write_stack(tmp_path / "in", textured(shape, dtype))
    done = zblocks("plan", write_config(ext=".png", **fields))
    assert done.code == 0, done.err
    (line,) = [line for line in done.out.splitlines() if line.startswith("warning: ")]
    assert warning in line


@pytest.mark.parametrize("fields", [{"voxel_resolution": [4, 4, 40]},
                                    {"voxel_resolution": [3680, 3680, 20000]},
                                    {"voxel_resolution": [1e6, 1e6, 1e6]}])  # fmt: skip
def test_what_looks_right_is_left_alone(tmp_path, write_config, fields):
    write_stack(tmp_path / "in", textured((3, 40, 50, 1), "uint16"))
    assert "warning" not in zblocks("plan", write_config(**fields)).out


def test_the_report_has_predicted_and_actual(bucket, cloud, tmp_path):
    assert zblocks("convert", bucket()).code == 0
    bill = cloud.json("volumes", f"{tmp_path.name}/.zblocks/report.json")["bill"]
    assert bill["where"] == "one machine"
    assert bill["predicted"] == bill["actual"]  # nothing but requests, and all as planned
    assert bill["actual_usd"] == pytest.approx(sum(row["dollars"] for row in bill["actual"]))
    assert {row["what"] for row in bill["actual"]} == {"PUT", "LIST", "GET"}


def test_what_lambda_may_not_allow_is_said():
    """Of sizes that no test can convert: told by the planner alone."""
    plan, tasks = plan_of((10_000, 10_000, 20_000), sharded=False, memory_mb=2048)
    fleet = WorkerPool(10_000)
    said = estimate(plan, tasks, fleet, Prices())
    lines = list(_limits(dataclasses.replace(said, at_once=10_000), fleet, 1200))
    assert lines[0].startswith("max_concurrency: 1200 blocks at the same time")
    assert len(lines) == 1
    assert list(_limits(said, fleet, 1200)) == []  # S3's rate lets so few run at once
    (line,) = _limits(dataclasses.replace(said, plan_s=1000.0), fleet, 900)
    assert line.startswith("Plan may take 17 min")
