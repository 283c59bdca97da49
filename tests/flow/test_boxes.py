"""Blocks that are boxes: stacks cut along z, y and x are the volumes that they are uncut."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from tests.flow.conftest import zblocks
from tests.flow.inprocess import do_all, start
from tests.flow.test_report import picture, read_page, read_report
from tests.references import framed, pyramid_of, read_info, read_tensorstore
from tests.tiled_jp2 import by_tiles
from zblocks.config import Config
from zblocks.planning import blocks
from zblocks.planning.missing import Hole
from zblocks.run.audit import audit
from zblocks.run.finalize import finalize
from zblocks.run.job import open_job
from zblocks.run.start import Run

SIZE = (20, 301, 407)
RNG = np.random.default_rng(3)
GREY = RNG.normal(900, 60, SIZE).astype(np.uint16)
RGB = RNG.integers(0, 256, (*SIZE, 3)).astype(np.uint8)
LABELS = np.repeat(np.repeat(RNG.integers(0, 9, (20, 31, 41)), 10, 1), 10, 2)[:, :301, :407]

STACKS = {
    "tiles": (GREY, {"tile": (64, 64), "compression": "zlib"}, {}),
    "strips": (GREY, {"rowsperstrip": 5, "compression": "lzw"}, {}),
    "odd offset": (GREY, {"tile": (32, 48)}, {"voxel_offset": [-3, 5, -7]}),
    "shards": (
        GREY,
        {"tile": (64, 64), "compression": "zlib"},
        {"sharding": True, "voxel_offset": [1, 1, 1]},
    ),
    "RGB": (RGB, {"tile": (64, 32), "photometric": "rgb"}, {"voxel_offset": [7, -1, 0]}),
    "region": (
        GREY,
        {"tile": (64, 64)},
        {"region": {"x": [5, 399], "y": [9, 290], "z": [2, 19]}, "turn": 90, "flip": "x"},
    ),
    "JPEG 2000": (RGB, {"jp2": (64, 32)}, {"voxel_offset": [7, -1, 0]}),
    "JPEG 2000, region": (
        GREY,
        {"jp2": (64, 48)},
        {"region": {"x": [5, 399], "y": [9, 290], "z": [2, 19]}, "turn": 90, "flip": "x"},
    ),
    "upside down": (GREY, {"rowsperstrip": 1}, {"flip": "y", "reverse_z": True}),
}


def write(path, plane, layout):
    """Write a TIFF of this layout, or a JPEG 2000 of such tiles."""
    if "jp2" in layout:
        by_tiles(path, plane.reshape(*plane.shape[:2], -1), tile=layout["jp2"])
    else:
        tifffile.imwrite(path, plane, metadata=None, **layout)


@pytest.fixture
def convert_cut(monkeypatch, tmp_path, write_config):
    """Return a function that converts a stack in the smallest boxes, and the config it used."""
    monkeypatch.setattr(blocks, "CUT_SECONDS", 0.0)  # too little for any but the smallest
    monkeypatch.setattr(blocks, "CUT_CHUNKS", 4)
    monkeypatch.setattr(blocks, "DEEPEST", 8)

    def convert(planes, layout, fields, gone=(), failed=()):
        (tmp_path / "in").mkdir()
        for z, plane in enumerate(planes):
            if z not in gone:
                write(tmp_path / f"in/s_{z:03}.tif", plane, layout)
        chunk = {"compression": "none", "chunk_size": [16, 16, 4], "scales": 4}
        path = write_config(**{**chunk, **fields})
        config = Config.load(path)
        prepared = start(config)
        job = open_job(config.destination)
        x, y, z = job.plan.block_grid
        assert z > 1
        assert y > 1
        assert (x > 1) == bool({"tile", "jp2"} & set(layout))  # strips are as wide as the slice
        do_all(job, tuple(t for t in prepared.pending if t.index not in failed))
        return path, finalize(job, Run())

    return convert


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_cut_along_every_axis(stack, convert_cut, tmp_path):
    """Every voxel of every scale, by tensorstore; and `zblocks verify` says so of the slices."""
    planes, layout, fields = STACKS[stack]
    path, ending = convert_cut(planes, layout, fields)
    assert ending.status == "COMPLETE"
    due = planes if planes.ndim == 4 else planes[..., None]
    if set(fields) & {"region", "flip", "turn", "reverse_z"}:
        wanted = fields.get("region", {})
        first, last = wanted.get("z", (0, 20))
        due = due[first:last][:: -1 if fields.get("reverse_z") else 1]
        due = framed(due, {k: v for k, v in wanted.items() if k != "z"},
                     turn=fields.get("turn", 0), flip=fields.get("flip", ""))  # fmt: skip
    pyramid = pyramid_of(due, read_info(tmp_path / "out"))
    for ours, expected in zip(volume(tmp_path / "out"), pyramid, strict=True):
        np.testing.assert_array_equal(ours, expected)
    verified = zblocks("verify", tmp_path / "out", "--source", path)
    assert verified.code == 0, verified.out + verified.err


def volume(folder):
    info = read_info(folder)
    return read_tensorstore({"driver": "file", "path": f"{folder}/"}, info)


@pytest.mark.parametrize(
    ("planes", "gone", "fields"),
    [
        (GREY, (0, 9, 10), {"missing": "hole"}),
        (GREY, (0, 9, 10), {"missing": "nearest"}),
        (GREY, (0, 9, 10), {"missing": "interpolate"}),
        (LABELS, (), {"layer_type": "segmentation"}),
    ],
    ids=["hole", "nearest", "interpolate", "labels"],
)
def test_the_same_voxels_as_uncut(planes, gone, fields, convert_cut, tmp_path, write_config):
    fields = {
        "sorted_filename": [[f"s_{z:03}.tif", z] for z in range(20)],
        "voxel_offset": [1, 1, 1],
        **fields,
    }
    path, ending = convert_cut(planes.astype(np.uint16), {"tile": (64, 64)}, fields, gone)
    assert ending.status == "COMPLETE"
    config = json.loads(path.read_text())
    uncut = write_config(**{**config, "destination": f"file://{tmp_path}/uncut"})
    done = zblocks("convert", uncut)
    assert done.code == 0, done.err
    for one, other in zip(volume(tmp_path / "out"), volume(tmp_path / "uncut"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_statistics_are_of_whole_slices(convert_cut, tmp_path):
    path, _ = convert_cut(GREY, {"tile": (64, 64)}, {"voxel_offset": [1, 1, 1]})
    job = open_job(Config.load(path).destination)
    found = audit(job.plan, job.target).slices
    assert [s.z for s in found] == list(range(1, 21))
    for counted, plane in zip(found, GREY, strict=True):
        assert (counted.low, counted.high) == (plane.min(), plane.max())
        assert counted.mean == pytest.approx(plane.mean(), rel=0.01)


def test_a_box_that_failed_is_a_hole_of_that_box_and_the_report_shows_it(convert_cut, tmp_path):
    fields = {"allow_partial": True, "scales": 2}
    path, ending = convert_cut(GREY, {"tile": (64, 64)}, fields, failed={0})
    assert ending.status == "PARTIAL"
    job = open_job(Config.load(path).destination)
    box = job.plan.owned_box(0, 0)
    holes = read_report(tmp_path / "out")["holes"]
    assert Hole("4_4_40", box).entry in holes
    assert len(holes) == 2
    thumb = read_page(tmp_path / "out").section("Contact sheet").all("img")[0]
    seen = picture(thumb).astype(int)
    striped = seen.max(axis=2) - seen.min(axis=2) > 20
    part = np.count_nonzero(striped) / striped.size
    assert part == pytest.approx(box.shape.x * box.shape.y / (301 * 407), rel=0.3)
    rows, columns = np.nonzero(striped)
    assert rows.max() < 0.6 * seen.shape[0]
    assert columns.max() < 0.6 * seen.shape[1]
