"""Interrupted, failed and repeated runs: what is done stays done, and nothing is half published."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np

from tests.flow.conftest import textured, write_stack, zblocks
from tests.references import read_cloudvolume, read_info


def make_stack(tmp_path, slices=150):
    return write_stack(tmp_path / "in", textured((slices, 64, 96, 1), "uint8"))


def volume_bytes(folder):
    files = (p for p in folder.rglob("*") if p.is_file() and ".zblocks" not in p.parts)
    return {str(p.relative_to(folder)): p.read_bytes() for p in files if p.name != "provenance"}


def test_a_damaged_slice_fails_its_block_alone(tmp_path, write_config):
    voxels = make_stack(tmp_path)
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
    # A mended slice is another object, so this is another volume: the user says so.
    bad.write_bytes(good)
    again = zblocks("convert", write_config())
    assert again.code == 2
    assert zblocks("convert", write_config(overwrite=True)).code == 0
    found = read_cloudvolume(f"precomputed://file://{tmp_path}/out", read_info(tmp_path / "out"))
    np.testing.assert_array_equal(found[0], voxels)


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


def test_a_lost_chunk_is_noticed(tmp_path, write_config):
    make_stack(tmp_path)
    config = write_config()
    assert zblocks("convert", config).code == 0
    (tmp_path / "out" / "info").unlink()
    chunk = next((tmp_path / "out" / "4_4_40").iterdir())
    chunk.unlink()
    done = zblocks("convert", config)
    assert done.code == 1
    assert chunk.name.removesuffix(".gz") in done.err
    assert not (tmp_path / "out" / "info").exists()


def test_overwrite_replaces_a_volume_and_leaves_no_strays(tmp_path, write_config):
    make_stack(tmp_path)
    assert zblocks("convert", write_config(chunk_size=[16, 16, 16])).code == 0
    config = write_config(chunk_size=[64, 64, 16], overwrite=True)
    assert zblocks("convert", config).code == 0
    fresh = write_config(chunk_size=[64, 64, 16], destination=f"file://{tmp_path}/fresh")
    assert zblocks("convert", fresh).code == 0
    assert volume_bytes(tmp_path / "out") == volume_bytes(tmp_path / "fresh")


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


def test_ctrl_c_leaves_a_state_that_resumes(tmp_path, write_config):
    """Interrupted at several moments, the volume ends byte for byte as the undisturbed one."""
    write_stack(tmp_path / "in", textured((400, 200, 200, 1), "uint8"))
    config = write_config(chunk_size=[32, 32, 8])
    clean = write_config(chunk_size=[32, 32, 8], destination=f"file://{tmp_path}/clean")
    assert zblocks("convert", clean).code == 0
    config = write_config(chunk_size=[32, 32, 8])
    receipts = tmp_path / "out/.zblocks/receipts"
    command = [sys.executable, "-m", "zblocks", "convert", str(config), "--workers", "1"]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not (receipts.exists() and any(receipts.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(run.pid, signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "the same command goes on" in err
    assert "Traceback" not in err
    done = len(list(receipts.iterdir()))
    assert 0 < done < 7
    assert not (tmp_path / "out" / "info").exists()
    assert zblocks("convert", config).code == 0
    assert volume_bytes(tmp_path / "out") == volume_bytes(tmp_path / "clean")


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
