"""Reduced resolutions that slices hold: the voxels another reader finds, at the same places."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from tests.flow.conftest import textured, zblocks
from tests.flow.inprocess import convert, read, start
from tests.formats.pyramids import PYRAMIDS, by_pillow, means, reduced, scan, sub_ifds
from tests.references import pyramid_of, read_cloudvolume, read_info, read_tensorstore
from zblocks.config import Config
from zblocks.errors import ZblocksError
from zblocks.planning import blocks
from zblocks.run.attempt import attempt_block
from zblocks.run.job import open_job

DEPTH, HEIGHT, WIDTH = 6, 262, 351
"""Neither is a multiple of 4; 263 rounds up and down."""


def write(folder, kind, count=DEPTH, size=(HEIGHT, WIDTH)):
    """Write a stack of one kind; return its planes."""
    folder.mkdir()
    planes = textured((count, *size, kind.channels), kind.dtype)
    planes = planes if kind.channels > 1 else planes[..., 0]
    for z, plane in enumerate(planes):
        kind.write(folder / f"s_{z:02}{kind.extension}", plane)
    return planes


def due(folder, kind, level):
    planes = [kind.read(path, level) for path in sorted(folder.iterdir())]
    return np.stack(planes).reshape(len(planes), *planes[0].shape[:2], kind.channels)


def every_scale(folder):
    info = read_info(folder)
    return info, read_tensorstore({"driver": "file", "path": f"{folder}/"}, info)


@pytest.mark.parametrize("name", PYRAMIDS)
def test_every_level_at_every_scale(name, tmp_path, write_config):
    kind = PYRAMIDS[name]
    write(tmp_path / "in", kind)
    for level, factor in enumerate((1, *kind.factors)):
        out = tmp_path / f"out{level}"
        fields = {"compression": "none", "chunk_size": [32, 32, 4], "level": level, **kind.config}
        plan = convert(Config.load(write_config(destination=f"file://{out}", **fields)))
        info, found = every_scale(out)
        voxels = due(tmp_path / "in", kind, level)
        assert info["scales"][0]["resolution"] == [4 * factor, 4 * factor, 40]
        assert abs(voxels.shape[2] - WIDTH / factor) < 1
        for ours, others in zip(found, pyramid_of(voxels, info), strict=True):
            np.testing.assert_array_equal(ours, others)
        said = f"level {level}: slices are read at {voxels.shape[2]}×{voxels.shape[1]} of 351×262"
        assert any(said in note for note in plan.notes) == (level > 0)


@pytest.mark.parametrize(
    "name", ["OME-TIFF", "libvips, JPEG", "SVS, JPEG 2000", "JPEG 2000 RGB, lossy"]
)
def test_by_the_users_command(name, tmp_path, write_config):
    kind = PYRAMIDS[name]
    write(tmp_path / "in", kind)
    config = write_config(level=2, compression="none", **kind.config)
    done = zblocks("convert", config, "--workers", "1")
    assert done.code == 0, done.err
    info, found = read(tmp_path / "out")
    voxels = due(tmp_path / "in", kind, 2)
    np.testing.assert_array_equal(found, voxels)
    every = read_cloudvolume(f"file://{tmp_path}/out", info)
    for ours, others in zip(every, pyramid_of(voxels, info), strict=True):
        np.testing.assert_array_equal(ours, others)
    factor = kind.factors[1]
    assert info["scales"][0]["resolution"] == [4 * factor, 4 * factor, 40]
    report = json.loads((tmp_path / "out/.zblocks/report.json").read_text())
    stored = sum(path.stat().st_size for path in (tmp_path / "in").iterdir())
    share = 1 if name.startswith("JPEG 2000") else 1 / factor**2
    assert report["bytes_read"] == pytest.approx(stored * share, abs=DEPTH)
    verified = zblocks("verify", f"file://{tmp_path}/out", "--source", str(config))
    assert verified.code == 0, verified.out + verified.err


@pytest.mark.parametrize("name", ["OME-TIFF", "libvips, JPEG"])
def test_a_level_in_boxes(name, tmp_path, write_config, monkeypatch):
    """The smallest: cut along every axis."""
    monkeypatch.setattr(blocks, "CUT_SECONDS", 0.0)
    monkeypatch.setattr(blocks, "CUT_CHUNKS", 4)
    monkeypatch.setattr(blocks, "DEEPEST", 8)
    kind = PYRAMIDS[name]
    write(tmp_path / "in", kind, 12, (522, 661))
    fields = {"chunk_size": [16, 16, 4], "scales": 4, "voxel_offset": [4, -12, 5]}
    fields |= {"level": 1, "compression": "none", **kind.config}
    plan = convert(Config.load(write_config(**fields)))
    assert min(plan.block_grid) > 1
    info, found = every_scale(tmp_path / "out")
    voxels = due(tmp_path / "in", kind, 1)
    for ours, others in zip(found, pyramid_of(voxels, info), strict=True):
        np.testing.assert_array_equal(ours, others)


def test_every_page_of_a_stack_has_its_own_levels(tmp_path, write_config):
    (tmp_path / "in").mkdir()
    planes = textured((4, 90, 121, 1), "uint8")[..., 0]
    with tifffile.TiffWriter(tmp_path / "in/stack.ome.tif") as file:
        file.write(planes, subifds=2, tile=(32, 32), metadata={"axes": "ZYX"})
        for step in (2, 4):
            file.write(planes[:, ::step, ::step], subfiletype=1, tile=(32, 32))
    convert(Config.load(write_config(page="all", level=2, compression="none")))
    np.testing.assert_array_equal(read(tmp_path / "out")[1][..., 0], planes[:, ::4, ::4])


def test_smaller_copies_that_follow_each_page(tmp_path, write_config):
    (tmp_path / "in").mkdir()
    planes = textured((3, 90, 121, 1), "uint8")[..., 0]
    with tifffile.TiffWriter(tmp_path / "in/stack.tif") as file:
        for plane in planes:
            file.write(plane, metadata=None)
            file.write(means(plane, 2), subfiletype=1, metadata=None)
            file.write(means(plane, 2) > 99, subfiletype=5, metadata=None)  # a mask
    convert(Config.load(write_config(page="all", level=1, compression="none")))
    found = read(tmp_path / "out")[1][..., 0]
    np.testing.assert_array_equal(found, [means(plane, 2) for plane in planes])


def test_a_scan_of_aperio_that_libvips_saved_anew(tmp_path, write_config):
    """It keeps the description, and marks the levels."""
    (tmp_path / "in").mkdir()
    text, how = "Aperio Image Library v12", {"tile": (48, 48), "metadata": None}
    with tifffile.TiffWriter(tmp_path / "in/s_0.svs") as file:
        file.write(PLANE, description=text, **how)
        file.write(HALF, subfiletype=1, description=text, **how)
    convert(Config.load(write_config(level=1, compression="none")))
    np.testing.assert_array_equal(read(tmp_path / "out")[1][0, ..., 0], HALF)


def test_a_size_that_pillow_rounds_down(tmp_path, write_config):
    """Level 2 of 5/3 wavelets is level 1 of level 1."""
    (tmp_path / "in").mkdir()
    plane = textured((1, 261, 349, 1), "uint8")[0, ..., 0]
    by_pillow(tmp_path / "in/s_0.jp2", plane)
    by_pillow(tmp_path / "half.jp2", reduced((tmp_path / "in/s_0.jp2").read_bytes(), 1))
    quarter = reduced((tmp_path / "half.jp2").read_bytes(), 1)
    assert quarter.shape == (66, 88)
    convert(Config.load(write_config(level=2, compression="none")))
    np.testing.assert_array_equal(read(tmp_path / "out")[1][0, ..., 0], quarter)


def test_an_image_off_the_origin_of_its_grid(tmp_path, write_config):
    """At a multiple of the factor, its wavelets are those of an image at the origin."""
    (tmp_path / "in").mkdir()
    plane = textured((1, 200, 300, 3), "uint8")[0]
    by_pillow(tmp_path / "in/s_0.jp2", plane, offset=(16, 40), tile_size=(400, 400))
    by_pillow(tmp_path / "plain.jp2", plane)
    convert(Config.load(write_config(level=2, compression="none")))
    plain = reduced((tmp_path / "plain.jp2").read_bytes(), 2)
    np.testing.assert_array_equal(read(tmp_path / "out")[1][0], plain)


def test_only_the_bytes_of_the_level_are_read(tmp_path, write_config):
    kind = PYRAMIDS["SVS"]
    write(tmp_path / "in", kind, size=(512, 768))
    config = Config.load(write_config(level=1, compression="none", **kind.config))
    pending = start(config).pending
    job = open_job(config.destination)
    planning = job.source.traffic.bytes_read
    for task in pending:
        attempt_block(job, task)
    whole, level = 0, 0
    for path in (tmp_path / "in").iterdir():
        with tifffile.TiffFile(path) as file:
            level += sum(file.series[0].levels[1].pages[0].databytecounts)
        whole += path.stat().st_size
    assert level < whole / 16
    tags = 1 << 14  # bytes that are read around those of a page
    assert planning <= DEPTH * 8 * tags
    assert level <= job.source.traffic.bytes_read - planning <= level + DEPTH * 2 * tags


def marked(height=240, width=320):
    """Return a plane with a bright block whose edges are multiples of 8."""
    plane = np.zeros((height, width), np.uint8)
    plane[48:96, 200:264] = 200
    return plane


def edges(folder):
    """Return the first and last nm of the bright block along x, y and z."""
    info, voxels = read(folder)
    scale = info["scales"][0]
    z, y, x, _ = np.nonzero(voxels > 99)
    return [
        ((n.min() + start) * size, (n.max() + 1 + start) * size)
        for n, start, size in zip(
            (x, y, z), scale["voxel_offset"], scale["resolution"], strict=True
        )
    ]


@pytest.mark.parametrize("name", ["SubIFDs", "canvas"])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"voxel_offset": [16, -24, 7]},
        {"region": {"x": [40, 320], "y": [16, 104], "z": [1, 3]}},
        {"turn": 90, "voxel_offset": [-8, 40, 0]},
        {"turn": 270, "flip": "y", "region": {"x": [80, 280]}},
        {"flip": "xy", "every": 2},
    ],
)
def test_what_is_seen_lies_at_the_same_place_at_every_level(name, fields, tmp_path, write_config):
    (tmp_path / "in").mkdir()
    if name == "canvas":
        fields = {**fields, "canvas": {"size": [320, 240], "align": "top-left", "fill": 0}}
    for z in range(4):
        plane = marked() if name == "SubIFDs" or z else marked()[:200, :300]
        sub_ifds(tmp_path / f"in/s_{z}.tif", plane)
    found = []
    for level in (0, 1, 2):
        out = tmp_path / f"out{level}"
        more = {**fields, "level": level, "compression": "none"}
        convert(Config.load(write_config(destination=f"file://{out}", **more)))
        found.append(edges(out))
    assert found[0] == found[1] == found[2]


def test_an_end_of_the_slice_is_an_end_at_every_level(tmp_path, write_config):
    (tmp_path / "in").mkdir()
    plane = textured((1, 91, 123, 1), "uint8")[0, ..., 0]
    sub_ifds(tmp_path / "in/s_0.tif", plane)
    region = {"x": [60, 123], "y": [0, 88]}
    convert(Config.load(write_config(level=2, region=region, compression="none")))
    np.testing.assert_array_equal(read(tmp_path / "out")[1][0, ..., 0], plane[::4, ::4][:22, 15:])


def pages_of(*planes, **kinds):
    """Return a writer of pages; `kinds` are their NewSubfileTypes by number."""

    def save(path):
        with tifffile.TiffWriter(path) as file:
            for n, plane in enumerate(planes):
                kind = kinds.get(f"p{n}", 0)
                file.write(plane, subfiletype=kind, metadata=None, contiguous=False)

    return save


PLANE = textured((1, 120, 160, 1), "uint8")[0, ..., 0]
HALF, QUARTER = PLANE[::2, ::2], PLANE[::4, ::4]


def jp2(**how):
    return lambda path: by_pillow(path, PLANE, **how)


REFUSED = {
    "no such level": (
        ".tif", lambda path: sub_ifds(path, PLANE), {"level": 3},
        "s_0.tif: level: found 3, but this file holds only 1: 80×60, 2: 40×30 of 160×120 pixels",
    ),
    "no levels": (
        ".tif", pages_of(PLANE), {"level": 1}, "this file holds none below its full resolution",
    ),
    "JPEG 2000": (
        ".jp2", jp2(), {"level": 4},
        "found 4, but this file holds only 1: 80×60, 2: 40×30, 3: 20×15 of 160×120 pixels",
    ),
    "no whole factor": (
        ".tif", pages_of(PLANE, PLANE[::2, ::2][:48], p1=1), {"level": 1},
        "level: 1 is 80×48 of 160×120 pixels, which is not a whole fraction",
    ),
    "twice": (
        ".tif", pages_of(PLANE, HALF, 255 - HALF, p1=1, p2=1), {"level": 1}, "is there twice",
    ),
    "of another type": (
        ".tif", pages_of(PLANE, HALF.astype("uint16"), p1=1), {"level": 1},
        "level: 1 is 80×60 grey uint16, but the full resolution is 160×120 grey uint8",
    ),
    "whose": (
        ".tif", pages_of(PLANE, PLANE, HALF, HALF, p2=1, p3=1), {"level": 1, "page": 0},
        "2 pages and smaller copies that don't follow each page alike",
    ),
    "pages that aren't marked": (
        ".tif", pages_of(PLANE, HALF), {"level": 1, "page": 0}, "none below its full resolution",
    ),
    "offset": (
        ".tif", lambda path: sub_ifds(path, PLANE), {"level": 2, "voxel_offset": [8, 6, 1]},
        "of the full resolution, which are no whole pixels of level 2; give multiples of 4 along x",
    ),
    "region": (
        ".tif", lambda path: sub_ifds(path, PLANE), {"level": 2, "region": {"y": [8, 102]}},
        "of level 2; give multiples of 4, or as its end that of the slice, 120",
    ),
    "region beyond": (
        ".tif", lambda path: sub_ifds(path, PLANE), {"level": 2, "region": {"x": [8, 164]}},
        "region: x [8, 164] reaches beyond a slice, or the canvas, of 160 pixels",
    ),
    "flipped": (
        ".tif", lambda path: sub_ifds(path, PLANE[:, :158]), {"level": 2, "flip": "x"},
        "level: turned or flipped, pixels of level 2 would not lie where",
    ),
    "canvas": (
        ".tif", lambda path: sub_ifds(path, PLANE), {"level": 2, "canvas": {"size": [170, 120]}},
        "canvas: size: found [170, 120]",
    ),
    "place on the canvas": (
        ".tif", lambda path: sub_ifds(path, PLANE), {"level": 2, "canvas": {"size": [172, 120]}},
        "s_0.tif would begin at pixel 6, 0 of the canvas, which is no whole pixel at level 2",
    ),
    "labels": (
        ".jp2", jp2(), {"level": 1, "layer_type": "segmentation"},
        "a JPEG 2000 blends neighbouring labels",
    ),
    "alpha": (
        ".jp2",
        lambda path: by_pillow(path, np.dstack([PLANE] * 4)), {"level": 1},
        "are read if it is grey or RGB without alpha",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_exact_is_refused_by_name(what, tmp_path, write_config):
    extension, save, fields, words = REFUSED[what]
    (tmp_path / "in").mkdir()
    save(tmp_path / f"in/s_0{extension}")
    with pytest.raises(ZblocksError) as caught:
        start(Config.load(write_config(**fields)))
    assert words in str(caught.value)
    assert "give" in str(caught.value) or "save" in str(caught.value)


@pytest.mark.parametrize("extension", [".png", ".jpg", ".bmp", ".webp"])
def test_formats_without_levels(extension, tmp_path, write_config):
    from PIL import Image

    (tmp_path / "in").mkdir()
    Image.fromarray(PLANE).save(tmp_path / f"in/s_0{extension}")
    with pytest.raises(ZblocksError, match="none below its full resolution; give a level that"):
        start(Config.load(write_config(level=1)))


def test_slices_that_are_reduced_differently_are_named(tmp_path, write_config):
    (tmp_path / "in").mkdir()
    for z in range(3):
        sub_ifds(tmp_path / f"in/s_{z}.tif", PLANE)
    pages_of(PLANE, QUARTER, p1=1)(tmp_path / "in/s_3.tif")
    with pytest.raises(ZblocksError) as caught:
        start(Config.load(write_config(level=1, canvas={"size": "max", "align": "top-left"})))
    assert "is 2 times smaller than the full resolution, but not that of" in str(caught.value)
    assert "s_3.tif: 40×30 of 160×120 pixels" in str(caught.value)


def test_another_level_is_another_volume(tmp_path, write_config):
    (tmp_path / "in").mkdir()
    by_pillow(tmp_path / "in/s_0.jp2", PLANE)
    ids = set()
    for level in range(3):
        fields = {"level": level, "destination": f"file://{tmp_path}/out{level}"}
        ids.add(start(Config.load(write_config(**fields))).plan.volume_id)
    assert len(ids) == 3


def test_the_forecast_counts_the_bytes_of_the_level(tmp_path, write_config):
    kind = PYRAMIDS["SVS"]
    write(tmp_path / "in", kind)
    plan = start(Config.load(write_config(level=1, **kind.config))).plan
    assert (plan.stack.level, plan.stack.file_share) == (1, 1 / 16)


def test_labels_of_a_reduced_resolution_are_warned_of(tmp_path, write_config):
    (tmp_path / "in").mkdir()
    sub_ifds(tmp_path / "in/s_0.tif", PLANE)
    plan = start(Config.load(write_config(level=1, layer_type="segmentation"))).plan
    assert any("hold labels that are in no slice" in note for note in plan.notes)


def test_init_proposes_the_page_and_names_the_levels(tmp_path):
    (tmp_path / "in").mkdir()
    for z in range(3):
        scan(tmp_path / f"in/s_{z}.svs", textured((1, 256, 320, 3), "uint8")[0], compression=33005)
    done = zblocks("init", tmp_path / "in", "--resolution", "500", "500", "4000")
    assert done.code == 0, done.err
    config = json.loads(done.out)
    assert config["page"] == 0
    assert "1: 80×64, 2: 20×16 of 320×256" in config["// level"]
    config |= {"level": 1, "compression": "none", "destination": f"file://{tmp_path}/out"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    done = zblocks("convert", tmp_path / "config.json")
    assert done.code == 0, done.err
    assert read(tmp_path / "out")[1].shape == (3, 64, 80, 3)
