"""Slices that were cut off, or are far too bright or dark, named where a run ends."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
import tifffile

from tests.flow.conftest import zblocks
from zblocks.cli.execution import watch_started
from zblocks.planning.bill import Prices
from zblocks.run.cloud import executions
from zblocks.run.cloud.executions import Execution
from zblocks.run.cloud.watch import Watch

FIELDS = {"compression": "none", "voxel_resolution": [1000] * 3}
ARN = "arn:aws:states:eu-west-1:111122223333:execution:zblocks:run-1"


def planes(count=30, size=(200, 100), low=90):
    """Tissue on a background of zeros, whose lower margin goes up and down."""
    made = []
    for z in range(count):
        plane = np.random.default_rng(z).integers(low, 120, size)
        plane[size[0] - 20 - z % 3 :] = 0
        made.append(plane.astype(np.uint8))
    return made


def write(folder, made, **how):
    (folder / "in").mkdir(exist_ok=True)
    for z, plane in enumerate(made):
        tifffile.imwrite(folder / f"in/s_{z:03d}.tif", plane, metadata=None, **how)


def odd_lines(done):
    assert done.code == 0, done.err
    return [line for line in done.out.splitlines() if line.startswith("look at ")]


def test_of_a_sound_stack_nothing_is_said(tmp_path, write_config):
    write(tmp_path, planes())
    assert odd_lines(zblocks("convert", write_config(**FIELDS))) == []


@pytest.mark.parametrize("value", [0, 128])
def test_a_slice_whose_end_was_never_written(tmp_path, write_config, value):
    made = planes()
    made[12][150:] = value
    write(tmp_path, made)
    (line,) = odd_lines(zblocks("convert", write_config(**FIELDS)))
    assert line.startswith(
        "look at z 12: s_012.tif: its last 50 rows hold one value (its neighbours': 21), so the "
        "file may be cut off; mean "
    )
    report = json.loads((tmp_path / "out/.zblocks/report.json").read_text())
    assert report["slices"]["tails"] == [{"z": 12, "slice": "s_012.tif", "rows": 50, "usual": 21}]
    assert report["status"] == "COMPLETE"
    assert "1 cut off" in (tmp_path / "out/.zblocks/report.html").read_text()


@pytest.mark.parametrize("dtype", ["uint16", "float32", "int16"])
def test_of_any_type(tmp_path, write_config, dtype):
    made = [plane.astype(dtype) for plane in planes()]
    made[12][120:] = 0
    write(tmp_path, made)
    lines = odd_lines(zblocks("convert", write_config(**FIELDS)))
    assert any("z 12: s_012.tif: its last 80 rows" in line for line in lines)


def test_a_hole_in_a_sparse_file_reads_as_zeros(tmp_path, write_config):
    """As where a copy was stopped after the file had been given its length."""
    write(tmp_path, planes(low=1), rowsperstrip=1)
    path = tmp_path / "in/s_007.tif"
    data = path.read_bytes()
    path.write_bytes(data[:-12_000] + bytes(12_000))
    lines = odd_lines(zblocks("convert", write_config(**FIELDS)))
    assert any("z 7: s_007.tif: its last " in line for line in lines)


def test_bright_dark_and_blank_ones(tmp_path, write_config):
    made = planes()
    made[5] += 100
    made[9] //= 8
    made[20][:] = 0
    write(tmp_path, made)
    lines = odd_lines(zblocks("convert", write_config(**FIELDS)))
    assert [line.partition(": ")[0] for line in lines] == [
        "look at z 5",
        "look at z 9",
        "look at z 20",
    ]
    assert "mean " in lines[0]
    assert lines[2].endswith("every pixel is 0")


def test_what_a_canvas_adds_and_what_is_turned_is_no_end_of_a_file(tmp_path, write_config):
    made = planes()
    made[12] = made[12][:150]
    made[13][150:] = 0
    write(tmp_path, made)
    fields = {**FIELDS, "canvas": {"size": [100, 200], "align": "top-left", "fill": 100}}
    lines = odd_lines(zblocks("convert", write_config(**fields)))
    assert [line for line in lines if "its last" in line and "z 12:" in line] == []
    assert [line for line in lines if "its last" in line and "z 13:" in line]
    turned = write_config(destination=f"file://{tmp_path}/turned", turn=90, **fields)
    assert [line for line in odd_lines(zblocks("convert", turned)) if "its last" in line] == []


def test_empty_labels_are_nothing_odd(tmp_path, write_config):
    made = planes()
    made[0][:] = made[29][:] = 0
    made[12][100:] = 0
    write(tmp_path, made)
    assert odd_lines(zblocks("convert", write_config(layer_type="segmentation", **FIELDS))) == []


def test_many_are_counted(tmp_path, write_config):
    made = planes(200)
    for z in range(2, 200, 6):
        made[z] += 100
    write(tmp_path, made)
    done = zblocks("convert", write_config(**FIELDS))
    assert len(odd_lines(done)) == 20
    assert "and 13 more" in done.out


def test_a_watcher_names_them_too(tmp_path, write_config, monkeypatch, capsys):
    """And those that are missing: from the report that the execution left."""
    made = planes()
    made[12][100:] = 0
    write(tmp_path, made)
    (tmp_path / "in/s_003.tif").write_bytes(b"<html>")
    config = write_config(damaged="missing", **FIELDS)
    assert zblocks("convert", config).code == 0
    place = f"file://{tmp_path}/out"
    output = {"status": "PARTIAL", "location": place, "report": "R", "link": "L"}
    given = json.loads(config.read_text())
    found = Execution(ARN, "SUCCEEDED", time.time() - 60, given, output=output)
    monkeypatch.setattr(executions, "describe", lambda _: found)
    with pytest.raises(SystemExit) as stop:
        watch_started(Watch(ARN, "arm64", Prices()), watching=True, as_json=False)
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert "filled z 3: s_003.tif (not a JPEG" in out
    assert "look at z 12: s_012.tif: its last 100 rows" in out
    assert '"overwrite": true' in out
    assert f"PARTIAL: {place}" in out
