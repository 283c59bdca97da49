"""The main job through the user's own commands: cdk deploy, aws s3 cp, start-execution."""

import json
import subprocess
import sys
import time
from collections.abc import Iterable

import numpy as np
import zarr

from zblocks.planning.plan import VERSION

from .conftest import JOBS, SOURCE, VOLUMES

READ_BACK = """
import sys
import numpy as np
import zarr
from cloudfiles.paths import add_alias
from cloudvolume import CloudVolume
endpoint, place, target = sys.argv[1:]
add_alias("emulated", f"s3://{endpoint}/")
volume = CloudVolume(f"precomputed://emulated://{place}", mip=0, progress=False, fill_missing=False)
np.save(target, np.asarray(volume[:, :, :])[..., 0].T)
"""
"""Another reader, in a process of its own: it takes endpoint and keys from the environment."""


def read_back(cloud, folder: str, tmp_path) -> np.ndarray:
    """The volume's scale 0 as cloud-volume sees it, (z, y, x)."""
    target = tmp_path / "read.npy"
    done = subprocess.run(
        [sys.executable, "-c", READ_BACK, cloud.aws.endpoint, f"{VOLUMES}/{folder}", target],
        env={**cloud.aws.env, "CLOUD_VOLUME_DIR": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return np.load(target)


def test_the_page_names_the_machine(cloud):
    assert cloud.reader.run_line("echo $MACHINE").strip() == cloud.machine


def test_start_execution_makes_a_volume_that_others_read(cloud, stack, job, tmp_path):
    lines = [f"{name.removesuffix('.jpg')} {z}" for z, name in enumerate(stack.names)]
    lines[41] = "Placeholder 41"
    formats = ["precomputed", "ome-zarr"]
    config = job("plain", {"sorted_filename": lines, "format": formats})
    what = ("start-execution", "--state-machine-arn", cloud.machine, "--input", f"file://{config}")
    begun = json.loads(cloud.cli("stepfunctions", *what))
    ended = cloud.wait(begun["executionArn"])

    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    output = json.loads(ended["output"])
    assert output["status"] == "COMPLETE"
    assert output["location"].rstrip("/") == f"s3://{VOLUMES}/brains/plain"
    expected = stack.voxels.copy()
    expected[41] = 0
    np.testing.assert_array_equal(read_back(cloud, "brains/plain", tmp_path), expected)
    image = cloud.keys("brains/plain.ome.zarr/")
    assert "brains/plain.ome.zarr/zarr.json" in image
    for key in (k for k in image if k.startswith("brains/plain.ome.zarr/0/")):
        path = tmp_path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cloud.aws.client("s3").get_object(Bucket=VOLUMES, Key=key)["Body"].read())
    array = zarr.open_array(tmp_path / "brains/plain.ome.zarr/0", mode="r")
    np.testing.assert_array_equal(array[:], expected)
    assert "brains/plain/provenance" in cloud.keys("brains/plain/")


def test_the_state_stays_small(cloud, job):
    execution = cloud.start(job("small"))
    assert cloud.wait(execution)["status"] == "SUCCEEDED"
    pages = cloud.aws.client("stepfunctions").get_paginator("get_execution_history")
    events = pages.paginate(executionArn=execution).build_full_result()["events"]
    sizes = [
        len(details[side])
        for event in events
        for details in event.values()
        if isinstance(details, dict)
        for side in ("input", "output")
        if side in details
    ]
    assert sizes
    assert max(sizes) < 8 * 1024


def test_an_upload_converts_once_however_often_it_is_delivered(cloud, job, tmp_path):
    before = cloud.executions()
    cloud.cli("s3", "cp", job("dropped"), f"s3://{JOBS}/jobs/dropped.json")
    (execution,) = new_executions(cloud, before)

    first = cloud.wait(execution)
    assert first["status"] == "SUCCEEDED", first.get("cause")
    assert json.loads(first["output"])["status"] == "COMPLETE"
    written = cloud.keys("brains/dropped/")
    assert "brains/dropped/info" in written

    again = tmp_path / "again.json"
    again.write_text(first["input"])
    assert json.loads(first["input"])["trigger"]["key"] == "jobs/dropped.json"
    second = cloud.wait(cloud.start(again))
    assert second["status"] == "SUCCEEDED", second.get("cause")
    assert json.loads(second["output"])["status"] == "duplicate"
    assert cloud.keys("brains/dropped/") == written


def new_executions(cloud, before: Iterable[str], least: int = 1) -> list[str]:
    """Those that started since; EventBridge takes a moment."""
    for _ in range(60):
        if len(found := sorted(set(cloud.executions()) - set(before))) >= least:
            return found
        time.sleep(0.5)
    raise AssertionError("the upload started nothing within 30 s")


def test_an_upload_elsewhere_starts_nothing_and_a_bad_one_is_answered(cloud, job):
    """By the time that later ones have started something: the last is the answer's own event."""
    before = set(cloud.executions())
    cloud.put("elsewhere.json", job("elsewhere").read_bytes(), JOBS)
    cloud.put("jobs/notes.txt", job("elsewhere").read_bytes(), JOBS)
    cloud.put("jobs/last.json", job("nothing", {"ext": ".nothing"}).read_bytes(), JOBS)
    found = {}
    for execution in new_executions(cloud, before, 2):
        ended = cloud.wait(execution)
        found[json.loads(ended["input"])["trigger"]["key"]] = ended
    assert set(found) == {"jobs/last.json", "jobs/last.error.json"}
    assert json.loads(found["jobs/last.error.json"]["output"]) == {"status": "duplicate"}
    failed = found["jobs/last.json"]
    said = cloud.document("jobs/last.error.json", JOBS)
    assert (said["execution"], said["error"]) == (failed["executionArn"], "SliceListError")
    assert (failed["status"], len(cloud.executions())) == ("FAILED", len(before) + 2)


def test_one_broken_slice_fails_the_execution_and_is_named(cloud, broken, job):
    ended = cloud.wait(cloud.start(job("broken", prefix=broken)))

    assert ended["status"] == "FAILED"
    assert "s0100.jpg" in ended["cause"]
    keys = cloud.keys("brains/broken/")
    assert "brains/broken/info" not in keys
    report = cloud.document("brains/broken/.zblocks/report.json")
    assert report["status"] == "FAILED"
    assert "s0100.jpg" in json.dumps(report)
    (failed,) = report["failed"]
    assert failed["z"] == [64, 128]
    assert "s0100.jpg" in failed["slices"]
    assert failed["tries"] == 1
    assert report["resume"].startswith("aws stepfunctions redrive-execution --execution-arn arn:")
    receipts = {key.rpartition("/")[2] for key in keys if "/.zblocks/receipts/" in key}
    assert {"block-00000.json", "block-00002.json"} <= receipts  # the others were converted


def test_failed_blocks_become_declared_holes_by_leave(cloud, broken, job):
    fields = {"allow_partial": True, "damaged": "error"}
    ended = cloud.wait(cloud.start(job("holes", fields, broken)))

    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    assert json.loads(ended["output"])["status"] == "PARTIAL"
    holes = cloud.document("brains/holes/provenance")["holes"]
    assert {"scale": "3680_3680_20000", "box": "0-90_0-70_64-128"} in holes


def test_a_damaged_slice_costs_that_slice_until_it_is_replaced(
    cloud, stack, put_broken, job, tmp_path
):
    """Finalize sends the execution back to its blocks, once."""
    prefix = put_broken("damaged/", "s0100.jpg")
    ended = cloud.wait(cloud.start(job("damaged", {"damaged": "missing"}, prefix)))
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    assert json.loads(ended["output"])["status"] == "PARTIAL"
    provenance = cloud.document("brains/damaged/provenance")
    assert [f["z"] for f in provenance["filled_slices"]] == [100]
    assert provenance["holes"] == []
    expected = stack.voxels.copy()
    expected[100] = 0
    np.testing.assert_array_equal(read_back(cloud, "brains/damaged", tmp_path), expected)

    cloud.put(f"{prefix}s0100.jpg", (stack.folder / "s0100.jpg").read_bytes(), SOURCE)
    again = {"damaged": "missing", "overwrite": True}
    ended = cloud.wait(cloud.start(job("damaged", again, prefix)))
    assert json.loads(ended["output"])["status"] == "COMPLETE"
    np.testing.assert_array_equal(read_back(cloud, "brains/damaged", tmp_path), stack.voxels)


def test_a_destination_that_is_being_written_is_refused(cloud, job, tmp_path):
    """As long as the execution runs that holds the lock, and 16 minutes longer."""
    states = {"Hold": {"Type": "Wait", "Seconds": 10**6, "End": True}}
    made = cloud.aws.client("stepfunctions").create_state_machine(
        name="holds",
        definition=json.dumps({"StartAt": "Hold", "States": states}),
        roleArn="arn:aws:iam::000000000000:role/holds",
    )
    holder = cloud.start(job("locked"), made["stateMachineArn"])
    lock = {"version": VERSION, "execution": holder, "host": "", "process": 0}
    now = time.time()
    lock |= {"begun": now, "refreshed": now}
    cloud.put("brains/locked/.zblocks/lock.json", json.dumps(lock).encode())
    ended = cloud.wait(cloud.start(job("locked")))
    assert ended["status"] == "FAILED"
    assert f"is being written by {holder}" in ended["cause"]
    assert list(cloud.keys("brains/locked/")) == ["brains/locked/.zblocks/lock.json"]
    cloud.aws.client("stepfunctions").stop_execution(executionArn=holder)
    ended = cloud.wait(cloud.start(job("locked")))
    assert ended["status"] == "FAILED"
    assert "may write until" in ended["cause"]
    cloud.aws.client("s3").delete_object(Bucket=VOLUMES, Key="brains/locked/.zblocks/lock.json")
    ended = cloud.wait(cloud.start(job("locked")))
    assert ended["status"] == "SUCCEEDED", ended.get("cause")


def test_a_mended_slice_and_a_second_start_finish_the_volume(
    cloud, stack, put_broken, job, tmp_path
):
    prefix = put_broken("mended/", "s0007.jpg")
    assert cloud.wait(cloud.start(job("mended", prefix=prefix)))["status"] == "FAILED"

    cloud.put(f"{prefix}s0007.jpg", (stack.folder / "s0007.jpg").read_bytes(), SOURCE)
    ended = cloud.wait(cloud.start(job("mended", {"overwrite": True}, prefix)))

    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    np.testing.assert_array_equal(read_back(cloud, "brains/mended", tmp_path), stack.voxels)


def test_a_destination_in_another_bucket_is_refused_before_anything_is_written(cloud, job):
    ended = cloud.wait(cloud.start(job("astray", {"s3_bucket_name_for_upload": SOURCE})))
    assert ended["status"] == "FAILED"
    assert f"-c destination_bucket={SOURCE}" in ended["cause"]
    assert cloud.keys("brains/astray/") == {}


def test_an_unknown_field_is_refused_with_the_nearest_known_one(cloud, job):
    ended = cloud.wait(cloud.start(job("typo", {"voxel_resolutoin": [1, 1, 1]})))
    assert ended["status"] == "FAILED"
    assert "voxel_resolutoin" in ended["cause"]
    assert "voxel_resolution" in ended["cause"]
    assert cloud.keys("brains/typo/") == {}


def test_the_end_of_each_execution_is_mailed_with_its_link_or_its_reason(cloud, job, mails):
    ended = cloud.wait(cloud.start(job("told")))
    assert ended["status"] == "SUCCEEDED", ended.get("cause")
    (text,) = mails(1)
    output = json.loads(ended["output"])
    assert f"Open it: {output['link']} " in text
    assert f"{output['location']} is published (COMPLETE)" in text
    assert ended["executionArn"] in text

    failed = cloud.start(job("told", {"voxel_resolutoin": [1, 1, 1]}))
    assert cloud.wait(failed)["status"] == "FAILED"
    (text,) = mails(1)
    assert "ended as FAILED" in text
    assert "voxel_resolutoin" in text
    assert failed in text
