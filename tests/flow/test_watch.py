"""What a watcher makes of receipts, failures and Step Functions' word; and its exit codes."""

from __future__ import annotations

import dataclasses
import json
import os
import time

import pytest

from tests.flow.conftest import textured, write_stack, zblocks
from zblocks.cli.display import counts_of, pace_of
from zblocks.cli.execution import cloud_input, exit_code, follow, message_of, name_of
from zblocks.config import Config
from zblocks.errors import InvalidConfig, StorageError
from zblocks.planning.bill import Prices
from zblocks.run.cloud import executions
from zblocks.run.cloud.executions import INPUT_BYTES, Execution
from zblocks.run.cloud.watch import Watch
from zblocks.run.progress import State, duration
from zblocks.run.records import Failure

ARN = "arn:aws:states:eu-west-1:111122223333:execution:zblocks:run-1"


@pytest.fixture
def run(tmp_path, write_config, monkeypatch):
    """A converted stack of three blocks in a folder, as if this execution had made it."""
    write_stack(tmp_path / "in", textured((150, 64, 96, 1), "uint8"))
    config = write_config()
    assert zblocks("convert", config).code == 0
    given = json.loads(config.read_text())
    found = Execution(ARN, "RUNNING", time.time() - 60, given)
    monkeypatch.setattr(executions, "describe", lambda _: found)
    monkeypatch.setattr(executions, "count_running", lambda _: 2)
    return tmp_path / "out/.zblocks", found


def look(watcher=None):
    return (watcher or Watch(ARN, "arm64", Prices())).look(time.time())[1]


def test_blocks_are_done_when_their_receipts_are_there(run):
    work, _ = run
    receipts = sorted((work / "receipts").iterdir())
    kept = {p: p.read_bytes() for p in receipts}
    for path in receipts:
        path.unlink()
    watcher = Watch(ARN, "arm64", Prices())
    first = look(watcher)
    assert (first.blocks, first.done, first.failed, first.running) == (3, 0, 0, 2)
    assert (first.voxels_done, first.dollars, first.eta) == (0, 0, None)
    # The last one first: a later look still finds those before it.
    for count, path in enumerate(p for p in reversed(receipts) if "block" in p.name):
        path.write_bytes(kept[path])
        state = look(watcher)
        assert state.done == count + 1
    assert state.voxels_done == state.voxels_expected == 150 * 64 * 96
    done = [json.loads(kept[p]) for p in receipts if "block" in p.name]
    plan = json.loads((work / "plan.json").read_text())
    seconds, objects = sum(r["seconds"] for r in done), sum(len(r["objects"]) for r in done)
    dollars = seconds * plan["memory_mb"] / 1024 * 0.0000133334 + objects * 0.000005
    assert state.dollars == pytest.approx(dollars)


def test_records_of_earlier_runs_do_not_count(run):
    work, _ = run
    failure = Failure("block-00001", 64, 128, "SliceError", "s_100.png: damaged", 1)
    (work / "failures").mkdir(exist_ok=True)
    path = work / "failures/block-00001.json"
    path.write_bytes(failure.to_json())
    for old in (path, *(work / "receipts").iterdir()):
        os.utime(old, (time.time() - 900, time.time() - 900))
    watcher = Watch(ARN, "arm64", Prices())
    state = look(watcher)
    assert (state.done, state.failed, state.failures) == (0, 0, ())
    path.write_bytes(failure.to_json() + b"\n")  # again, in this run
    state = look(watcher)
    assert (state.failed, state.failures) == (1, ("block-00001: s_100.png: damaged",))
    assert look(watcher).failures == state.failures  # named once


def test_until_this_runs_plan_is_there_it_is_being_planned(run):
    work, _ = run
    os.utime(work / "stages/0.json", (time.time() - 900, time.time() - 900))
    assert look() == State("planning")


def test_an_input_that_is_no_config_is_left_to_the_machine(run, monkeypatch):
    bad = dataclasses.replace(run[1], given={"voxel_resolutoin": 1})
    monkeypatch.setattr(executions, "describe", lambda _: bad)
    assert look() == State("planning")


def test_a_look_that_fails_is_taken_again(run, monkeypatch):
    monkeypatch.setattr("zblocks.cli.execution.POLL_FIRST", 0.0)
    monkeypatch.setattr("zblocks.cli.execution.POLL_LAST", 0.0)
    answers = [StorageError("throttled"), run[1], StorageError("throttled"),
               dataclasses.replace(run[1], status="SUCCEEDED")]  # fmt: skip

    def describe(_):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(executions, "describe", describe)
    ended, state = follow(Watch(ARN, "arm64", Prices()))
    assert (ended.status, state.done, answers) == ("SUCCEEDED", 3, [])


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        ("SUCCEEDED", "", 0),
        ("FAILED", "IncompleteVolume", 1),
        ("FAILED", "DestinationClaimed", 1),
        ("FAILED", "InvalidConfig", 2),
        ("FAILED", "CostCeiling", 2),
        ("FAILED", "Runtime.HandlerError", 1),
        ("TIMED_OUT", "", 1),
        ("ABORTED", "", 1),
    ],
)
def test_exit_codes(status, error, code):
    assert exit_code(Execution(ARN, status, 0.0, error=error)) == code


def test_lambdas_wrapping_is_taken_off():
    assert message_of('{"errorMessage": "slices differ", "errorType": "SliceError"}') == (
        "slices differ"
    )
    assert message_of("States.Timeout") == "States.Timeout"


@pytest.mark.parametrize(
    ("state", "counts", "pace"),
    [
        (State("planning"), "planning", ""),
        (State("checks", 9, 4, 1, 2, 3_000_000, 12_000_000, 10.0, 0.5),
         "blocks 4/9, 2 running, 1 failed", "0.3 Mvoxel/s, $0.5 so far, 30 s to go"),
        (State("checks", 9, 8, 1, 0, 12, 12, 10.0), "blocks 8/9, 1 failed, checks",
         "0.0 Mvoxel/s"),
    ],
)  # fmt: skip
def test_what_is_shown(state, counts, pace):
    assert (counts_of(state), pace_of(state)) == (counts, pace)


def test_times_as_people_say_them():
    assert [duration(s) for s in (0.4, 99, 100, 5900, 9000)] == [
        "0 s", "99 s", "2 min", "98 min", "2.5 h",
    ]  # fmt: skip


def cloud_config(tmp_path, **fields):
    path = tmp_path / "config.json"
    places = {"source": "s3://slices/s", "destination": "s3://volumes/brains/b 1.2"}
    path.write_text(json.dumps({**places, "voxel_resolution": [4, 4, 40], **fields}))
    return path


def test_a_local_list_travels_in_the_input(tmp_path):
    (tmp_path / "names.txt").write_text("a 0\r\nb 1\n\n")
    given, config = cloud_input(cloud_config(tmp_path, sorted_filename="names.txt"))
    assert given["sorted_filename"] == ["a 0", "b 1"]
    assert config.for_cloud() == ()
    # One that isn't here is a key in the bucket.
    given, config = cloud_input(cloud_config(tmp_path, sorted_filename="other.txt"))
    assert given["sorted_filename"] == "other.txt"
    assert config.slice_list.url == "s3://slices/other.txt"


def test_an_input_too_large_says_where_to_put_the_list(tmp_path):
    lines = [f"a_section_with_a_long_name_{i:06d} {i}" for i in range(8000)]
    (tmp_path / "names.txt").write_text("\n".join(lines))
    given, _ = cloud_input(cloud_config(tmp_path, sorted_filename="names.txt"))
    assert len(json.dumps(given)) > INPUT_BYTES
    with pytest.raises(InvalidConfig, match=r"aws s3 cp names\.txt s3://BUCKET/names\.txt"):
        executions.start(ARN, "x", given)


def test_names_of_executions_are_readable(tmp_path):
    name = name_of(Config.load(cloud_config(tmp_path)))
    assert name.startswith("b-1-2-20")
    assert len(name) <= 80


def test_keys_and_folders_are_refused_before_anything_is_asked(tmp_path):
    done = zblocks("start", cloud_config(tmp_path, source=f"file://{tmp_path}", s3_creds_file="k"))
    assert done.code == 2
    assert "s3_creds_file" in done.err
    assert "is a local folder" in done.err


def test_convert_names_failures_as_they_happen(tmp_path, write_config):
    """The same display, fed from this machine: each failed block once, before the end."""
    write_stack(tmp_path / "in", textured((150, 64, 96, 1), "uint8"))
    path = tmp_path / "in/s_100.png"
    path.write_bytes(path.read_bytes()[:-3000])
    done = zblocks("convert", write_config())
    assert done.code == 1
    (line,) = [n for n in done.err.splitlines() if n.startswith("failed: ")]
    assert line.startswith("failed: block-00001 (z 64–128): ")
    assert "s_100.png" in line
    assert "blocks 2/3, 1 failed" in done.err
    assert done.err.index(line) < done.err.index("IncompleteVolume")
