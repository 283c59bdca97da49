"""`zblocks start` and `zblocks watch` against the deployed machine."""

import json
import re
import signal

from tests.chaos.proxy import Held, failing

from .conftest import VOLUMES

SECONDS = 600


def ended(process):
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


def test_start_watches_until_the_volume_is_complete(cloud, stack, job, tmp_path):
    """From a list on this machine's disk: its lines travel in the input."""
    names = [f"{name.removesuffix('.jpg')} {z}" for z, name in enumerate(stack.names)]
    (tmp_path / "names.txt").write_text("\n".join(names))
    config = job("begun", {"sorted_filename": "names.txt", "max_cost_usd": 5})

    code, out, err = ended(cloud.zblocks("start", config))

    assert code == 0, err
    assert f"COMPLETE: s3://{VOLUMES}/brains/begun" in out
    assert "view: https://" in out
    assert re.search(r"all 3 pending; predicted: \d+ s, \$0\.00", err)
    assert "blocks 3/3" in err
    assert "Mvoxel/s, $" in err
    (arn,) = re.findall(r"^started (arn:\S+:begun-\d{8}-\d{6}-\d{6})$", err, re.MULTILINE)
    document = cloud.document("brains/begun/.zblocks/report.json")
    assert document["execution"] == arn
    bill = document["bill"]
    assert (bill["where"], bill["actual_usd"] > 0) == ("cloud", True)
    rows = [{row["what"]: row for row in bill[side]} for side in ("predicted", "actual")]
    assert rows[0].keys() == rows[1].keys()
    assert rows[0]["transitions"] == rows[1]["transitions"]
    assert rows[0]["PUT"] == rows[1]["PUT"]

    code, out, err = ended(cloud.zblocks("watch", arn.rpartition(":")[2], "--json"))
    assert code == 0, err
    assert json.loads(out)["status"] == "COMPLETE"


def test_a_failing_block_is_named_and_the_command_fails(cloud, broken, job):

    code, _, err = ended(cloud.zblocks("start", job("failing", prefix=broken), "--no-plan"))

    assert code == 1
    assert re.search(r"^failed: block-00001 \(z 64–128\): .*s0100\.jpg", err, re.MULTILINE)
    assert "blocks 2/3, 1 failed" in err
    assert re.search(r"^FAILED arn:", err, re.MULTILINE)
    assert "predicted" not in err


def test_ctrl_c_leaves_the_execution_running(cloud, job):
    held = Held(since=r"\.StartExecution", what=r"\.DescribeExecution")
    with failing(cloud.aws.endpoint, held) as endpoint:
        process = cloud.zblocks("start", job("left"), "--no-plan", endpoint=endpoint)
        assert held.reached.wait(SECONDS)
        process.send_signal(signal.SIGINT)
        code, _, err = ended(process)
        held.released.set()
    assert code == 130
    (arn,) = re.findall(r"^started (arn:\S+)$", err, re.MULTILINE)
    assert f"zblocks watch {arn}" in err
    assert f"aws stepfunctions stop-execution --execution-arn {arn}" in err
    code, out, err = ended(cloud.zblocks("watch", arn))
    assert code == 0, err
    assert "COMPLETE: " in out


def test_what_is_above_its_ceiling_is_never_started(cloud, job):
    before = cloud.executions()
    code, _, err = ended(cloud.zblocks("start", job("dear", {"max_cost_usd": 1e-6})))
    assert code == 2
    assert "CostCeiling: max_cost_usd: this run is predicted to cost $" in err
    assert cloud.executions() == before
    # The Plan function refuses, too: of itself it says nothing but the class, here.
    code, _, err = ended(cloud.zblocks("start", job("dear", {"max_cost_usd": 1e-6}), "--no-plan"))
    assert code == 1  # MiniStack names every error Runtime.HandlerError; AWS's name gives 2
    assert "max_cost_usd: this run is predicted to cost $" in err
    assert cloud.keys("brains/dear/") == {}


def test_what_isnt_there_is_said(cloud, job):
    for arguments in (("start", job("x"), "--machine", "nosuch"), ("watch", "nosuch")):
        code, _, err = ended(cloud.zblocks(*arguments))
        assert code == 2, err
        assert "InvalidConfig" in err
        assert "nosuch" in err
