"""Interrupted, failed and repeated runs: what is done stays done, and nothing is half published."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.flow.conftest import textured, write_stack, zblocks
from tests.flow.inprocess import start
from tests.references import read_cloudvolume, read_info
from zblocks.config import Config
from zblocks.errors import IncompleteVolume
from zblocks.planning.plan import VERSION
from zblocks.run import lock
from zblocks.run.job import open_job, read_block_task, read_tasks


def make_stack(tmp_path, slices=150):
    return write_stack(tmp_path / "in", textured((slices, 64, 96, 1), "uint8"))


def volume_bytes(folder):
    files = (p for p in folder.rglob("*") if p.is_file() and ".zblocks" not in p.parts)
    return {str(p.relative_to(folder)): p.read_bytes() for p in files if p.name != "provenance"}


def test_a_damaged_slice_fails_its_block_alone(tmp_path, write_config):
    make_stack(tmp_path)
    bad = tmp_path / "in" / "s_070.png"
    good = bad.read_bytes()
    bad.write_bytes(good[: len(good) // 2])
    done = zblocks("convert", write_config())
    assert done.code == 1
    assert "IncompleteVolume" in done.err
    assert "block-00001 (z 64–128)" in done.err
    assert "s_070.png: damaged PNG" in done.err
    assert not (tmp_path / "out" / "info").exists()
    report = json.loads((tmp_path / "out" / ".zblocks" / "report.json").read_text())
    assert report["status"] == "FAILED"
    assert "s_070.png" in report["problems"][0]
    receipts = {p.name for p in (tmp_path / "out/.zblocks/receipts").iterdir()}
    assert {"block-00000.json", "block-00002.json"} <= receipts
    assert "block-00001.json" not in receipts
    (failed,) = report["failed"]
    assert failed["z"] == [64, 128]
    assert failed["slices"][6] == "s_070.png"
    assert (failed["error"], failed["tries"]) == ("SliceError", 1)
    assert report["resume"].endswith("config.json")
    assert "convert" in report["resume"]


def test_a_mended_slice_costs_its_own_block_only(tmp_path, write_config):
    voxels = make_stack(tmp_path)
    bad = tmp_path / "in" / "s_070.png"
    good = bad.read_bytes()
    bad.write_bytes(good[: len(good) // 2])
    assert zblocks("convert", write_config()).code == 1
    bad.write_bytes(good)
    again = zblocks("convert", write_config())
    assert again.code == 2
    assert "SourceChanged" in again.err
    assert "s_070.png (z 70) changed after" in again.err
    kept = receipt_stamps(tmp_path)
    assert zblocks("convert", write_config(overwrite=True)).code == 0
    assert {"block-00000", "block-00002"} == unchanged(kept, receipt_stamps(tmp_path))
    found = read_cloudvolume(f"precomputed://file://{tmp_path}/out", read_info(tmp_path / "out"))
    np.testing.assert_array_equal(found[0], voxels)


def receipt_stamps(tmp_path):
    folder = tmp_path / "out/.zblocks/receipts"
    return {p.stem: p.stat().st_mtime_ns for p in folder.iterdir()}


def unchanged(before, after):
    return {name for name, stamp in before.items() if after.get(name) == stamp}


def test_the_same_config_again_converts_nothing(tmp_path, write_config):
    make_stack(tmp_path)
    config = write_config()
    assert zblocks("convert", config).code == 0
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*-*") if p.is_file()}
    assert zblocks("convert", config).code == 0
    assert stamps == {p: p.stat().st_mtime_ns for p in stamps}


def test_a_lost_receipt_is_the_only_work_redone(tmp_path, write_config):
    make_stack(tmp_path)
    config = write_config()
    assert zblocks("convert", config).code == 0
    before = volume_bytes(tmp_path / "out")
    receipts = tmp_path / "out/.zblocks/receipts"
    kept = (receipts / "block-00000.json").stat().st_mtime_ns
    (receipts / "block-00001.json").unlink()
    assert zblocks("convert", config).code == 0
    assert volume_bytes(tmp_path / "out") == before
    assert (receipts / "block-00000.json").stat().st_mtime_ns == kept


@pytest.mark.parametrize("damage", ["lost", "cut", "same size"])
def test_a_chunk_that_is_not_as_receipted_is_made_again(tmp_path, write_config, damage):
    """Its block is converted again, and only that."""
    make_stack(tmp_path)
    config = write_config()
    assert zblocks("convert", config).code == 0
    before, stamps = volume_bytes(tmp_path / "out"), receipt_stamps(tmp_path)
    chunk = next((tmp_path / "out" / "4_4_40").glob("*_64-80.gz"))
    data = bytearray(chunk.read_bytes())
    if damage == "lost":
        chunk.unlink()
    elif damage == "cut":
        chunk.write_bytes(data[:-1])
    else:
        data[len(data) // 2] ^= 1
        chunk.write_bytes(data)
    assert zblocks("convert", config).code == 0
    assert volume_bytes(tmp_path / "out") == before
    assert set(stamps) - unchanged(stamps, receipt_stamps(tmp_path)) == {"block-00001"}


def test_a_copied_volume_is_not_converted_again(tmp_path, write_config):
    """Its files have other ETags; their checksums say that they are what was written."""
    make_stack(tmp_path, 70)
    assert zblocks("convert", write_config()).code == 0
    shutil.copytree(tmp_path / "out", tmp_path / "copy")
    config = write_config(destination=f"file://{tmp_path}/copy")
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "copy").rglob("*.gz")}
    assert zblocks("convert", config).code == 0
    assert stamps == {p: p.stat().st_mtime_ns for p in stamps}


def lock_file(tmp_path, **fields):
    now = time.time()
    document = {
        "version": VERSION,
        "execution": "",
        "host": "elsewhere",
        "process": 1,
        "begun": now,
    }
    folder = tmp_path / "out" / ".zblocks"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "lock.json"
    path.write_text(json.dumps(document | {"begun": now, "refreshed": now} | fields))
    return path


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "process 1 on elsewhere"),
        ({"host": socket.gethostname(), "process": os.getpid()}, f"process {os.getpid()} on"),
        ({"execution": "arn:aws:states:…:execution:zblocks:run-7", "process": 0}, "zblocks:run-7"),
    ],
    ids=["on another machine", "on this machine", "in the cloud"],
)
def test_a_run_that_finds_another_one_ends_at_once(tmp_path, write_config, fields, words):
    make_stack(tmp_path, 5)
    lock = lock_file(tmp_path, **fields)
    found = lock.read_bytes()
    done = zblocks("convert", write_config())
    assert done.code == 1
    assert "DestinationClaimed" in done.err
    assert words in done.err
    assert [p.name for p in (tmp_path / "out").rglob("*") if p.is_file()] == ["lock.json"]
    assert lock.read_bytes() == found


@pytest.mark.parametrize(
    "fields",
    [
        {"host": socket.gethostname(), "process": 2**22 + 1},
        {"refreshed": time.time() - 4000},
        {"execution": "arn:aws:states:…:execution:zblocks:run-7", "refreshed": time.time() - 4000},
    ],
    ids=["its process is dead", "silent for an hour", "an execution silent for an hour"],
)
def test_a_lock_that_was_left_behind_is_void(tmp_path, write_config, fields):
    make_stack(tmp_path, 5)
    lock = lock_file(tmp_path, **fields)
    assert zblocks("convert", write_config()).code == 0
    assert not lock.exists()


def test_a_failed_run_releases_its_lock(tmp_path, write_config):
    make_stack(tmp_path, 5)
    (tmp_path / "in" / "s_003.png").write_bytes((tmp_path / "in" / "s_003.png").read_bytes()[:-300])
    assert zblocks("convert", write_config()).code == 1
    assert not (tmp_path / "out/.zblocks/lock.json").exists()


def test_a_volume_with_failed_blocks_is_published_by_leave_and_mended_later(tmp_path, write_config):
    voxels = make_stack(tmp_path)
    bad = tmp_path / "in" / "s_070.png"
    good = bad.read_bytes()
    bad.write_bytes(good[: len(good) // 2])
    done = zblocks("convert", write_config(allow_partial=True, damaged="error"))
    assert done.code == 0
    assert "PARTIAL" in done.out
    assert "left out: block-00001 (z 64–128)" in done.out
    provenance = json.loads((tmp_path / "out" / "provenance").read_text())
    box = {"scale": "4_4_40", "box": "0-96_0-64_64-128"}
    assert box in provenance["holes"]
    report = json.loads((tmp_path / "out/.zblocks/report.json").read_text())
    assert report["status"] == "PARTIAL"
    assert report["failed"][0]["task"] == "block-00001"
    bad.write_bytes(good)
    assert zblocks("convert", write_config(overwrite=True)).code == 0
    assert not json.loads((tmp_path / "out" / "provenance").read_text())["holes"]
    found = read_cloudvolume(f"precomputed://file://{tmp_path}/out", read_info(tmp_path / "out"))
    np.testing.assert_array_equal(found[0], voxels)


def test_a_volume_of_which_nothing_could_be_made_is_not_published(tmp_path, write_config):
    make_stack(tmp_path, 5)
    (tmp_path / "in" / "s_003.png").write_bytes((tmp_path / "in" / "s_003.png").read_bytes()[:-300])
    assert zblocks("convert", write_config(allow_partial=True, damaged="error")).code == 1
    assert not (tmp_path / "out" / "info").exists()


def test_receipts_say_how_bright_each_slice_is(tmp_path, write_config):
    voxels = write_stack(tmp_path / "in", textured((70, 64, 96, 1), "uint16"), ".tif")
    assert zblocks("convert", write_config()).code == 0
    receipts = [json.loads(p.read_text()) for p in (tmp_path / "out/.zblocks").glob("receipts/b*")]
    stats = sorted((s for r in receipts for s in r["slices"]), key=lambda s: s["z"])
    assert [s["z"] for s in stats] == list(range(70))
    assert [(s["low"], s["high"]) for s in stats] == [(v.min(), v.max()) for v in voxels]
    for one, plane in zip(stats, voxels, strict=True):
        assert one["mean"] == pytest.approx(plane[::8].mean(), abs=0.001)
        counts = np.bincount(plane[::8].ravel() // one["step"])
        assert one["histogram"] == counts.tolist()
    sources = sorted(z for r in receipts for z, *_ in r["read"])
    assert sources == list(range(70))


def test_a_run_begun_with_larger_workers_says_so(tmp_path, write_config):
    plane = textured((1, 900, 900, 1), "uint8")
    write_stack(tmp_path / "in", np.broadcast_to(plane, (150, 900, 900, 1)))
    (tmp_path / "in" / "s_149.png").write_bytes((tmp_path / "in" / "s_149.png").read_bytes()[:-300])
    assert zblocks("convert", write_config(), "--memory", 2000).code == 1
    again = zblocks("convert", write_config(), "--memory", 130)
    assert again.code == 2
    assert "DoesNotFit" in again.err
    assert "was begun with blocks that need" in again.err


def test_overwrite_replaces_a_volume_and_leaves_no_strays(tmp_path, write_config):
    make_stack(tmp_path)
    assert zblocks("convert", write_config(chunk_size=[16, 16, 16])).code == 0
    config = write_config(chunk_size=[64, 64, 16], overwrite=True)
    assert zblocks("convert", config).code == 0
    fresh = write_config(chunk_size=[64, 64, 16], destination=f"file://{tmp_path}/fresh")
    assert zblocks("convert", fresh).code == 0
    assert volume_bytes(tmp_path / "out") == volume_bytes(tmp_path / "fresh")


def test_overwrite_clears_the_folders_of_the_old_grid(tmp_path, write_config):
    make_stack(tmp_path, 20)
    assert zblocks("convert", write_config(voxel_resolution=[8, 8, 8])).code == 0
    (tmp_path / "out" / "notes.txt").write_text("mine")
    assert zblocks("convert", write_config(overwrite=True)).code == 0
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert "notes.txt" in names
    assert not list((tmp_path / "out").glob("8_8_8/*"))
    assert not (tmp_path / "out/.zblocks/replaced.json").exists()


def test_overwrite_clears_another_tools_volume(tmp_path, write_config):
    make_stack(tmp_path, 5)
    folder = tmp_path / "out" / "full"
    folder.mkdir(parents=True)
    (folder / "0-1_0-1_0-1").write_bytes(b"x")
    kept = tmp_path / "kept"
    kept.write_text("not in the volume")
    scales = [{"key": "full"}, {"key": "../"}, {"key": ".zblocks"}]
    (tmp_path / "out" / "info").write_text(json.dumps({"scales": scales}))
    assert zblocks("convert", write_config()).code == 2
    assert folder.exists()
    assert zblocks("convert", write_config(overwrite=True)).code == 0
    assert not list(folder.glob("*"))
    assert kept.exists()


def test_overwrite_with_another_compression_leaves_no_strays(tmp_path, write_config):
    make_stack(tmp_path, 20)
    assert zblocks("convert", write_config(compression="none")).code == 0
    assert zblocks("convert", write_config(overwrite=True)).code == 0
    names = [p.name for p in (tmp_path / "out" / "4_4_40").iterdir()]
    assert names
    assert all(name.endswith(".gz") for name in names)


def test_overwrite_in_a_bucket_deletes_many_at_once(tmp_path, write_config, cloud):
    make_stack(tmp_path, 20)
    place = "s3://volumes/v"
    assert zblocks("convert", write_config(destination=place, chunk_size=[16, 16, 4])).code == 0
    assert zblocks("convert", write_config(destination=place, overwrite=True)).code == 0
    info = cloud.json("volumes", "v/info")
    assert info["scales"][0]["chunk_sizes"] == [[128, 128, 16]]
    assert len([k for k in cloud.keys("volumes") if "/4_4_40/" in k]) == 2


def test_a_terminal_shows_a_live_bar(tmp_path, write_config):
    """On a terminal: blocks, voxels per second, time to go."""
    import pty

    make_stack(tmp_path)
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "zblocks", "convert", str(write_config())]
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    with subprocess.Popen(command, stdout=child, stderr=child, env=env) as run:
        os.close(child)
        shown = b""
        try:
            while data := os.read(parent, 4096):
                shown += data
        except OSError:  # the terminal closes with its last writer
            pass
    os.close(parent)
    assert run.returncode == 0
    assert b"3/3" in shown
    assert b"Mvoxel/s" in shown


def test_what_another_version_wrote_is_refused_or_replaced(tmp_path, write_config):
    make_stack(tmp_path, 20)
    assert zblocks("convert", write_config()).code == 0
    for path in (tmp_path / "out/.zblocks").rglob("*.json"):
        document = json.loads(path.read_text())
        if isinstance(document, dict) and "version" in document:
            path.write_text(json.dumps({"version": 1, "fingerprint": "of old"}))
    before = sorted(p.name for p in (tmp_path / "out").rglob("*"))
    for command in ("plan", "convert"):
        done = zblocks(command, write_config())
        assert done.code == 2
        assert "another version of zblocks (format 1" in done.err + done.out
    assert sorted(p.name for p in (tmp_path / "out").rglob("*")) == before
    done = zblocks("verify", tmp_path / "out")
    assert done.code == 0, done.out
    assert "of another version of zblocks" in done.out
    assert zblocks("convert", write_config(overwrite=True)).code == 0
    assert zblocks("convert", write_config()).code == 0


def test_a_lost_list_of_slices_is_named_and_written_again_by_a_new_run(tmp_path, write_config):
    make_stack(tmp_path)
    config = write_config()
    job = open_job(start(Config.load(config)).plan.destination)
    (tmp_path / "out/.zblocks/slices.json").unlink()
    for act in (lambda: read_block_task(job, 0), lambda: read_tasks(job.plan, job.target)):
        with pytest.raises(IncompleteVolume, match=r"slices\.json: is gone; start the conversion"):
            act()
    lock.release(job.target, "")
    assert zblocks("convert", config).code == 0
    assert len(read_tasks(job.plan, job.target)) == 3
