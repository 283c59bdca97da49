"""Every kind of slice becomes the voxels that a reader which isn't ours finds in it."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.flow.conftest import zblocks
from tests.flow.inprocess import convert, held, read, start, write_kind
from tests.formats.registry import DEPTH, INPUTS, many_pages
from zblocks.config import Config
from zblocks.errors import ZblocksError
from zblocks.run.job import read_tasks
from zblocks.slices import open_slice, probe
from zblocks.storage import open_store

ROWS = 16


@pytest.mark.parametrize("kind", INPUTS.values(), ids=lambda kind: kind.name)
def test_every_kind(kind, tmp_path, write_config):
    due = held(write_kind(tmp_path / "in", kind), kind.read)
    for rows in (None, ROWS) if kind.streams else (None,):
        out = tmp_path / f"out{rows}"
        fields = {"compression": "none", "chunk_size": [16, ROWS, 4], "scales": 2, **kind.config}
        config = Config.load(write_config(destination=f"file://{out}", **fields))
        plan = convert(config, rows)
        info, found = read(out)
        assert (info["data_type"], info["num_channels"]) == (kind.dtype, kind.channels)
        np.testing.assert_array_equal(found, due, err_msg=f"{rows} rows")
        whole = any("can't be read in strips" in note for note in plan.notes)
        assert whole != kind.streams


@pytest.mark.parametrize("kind", [k for k in INPUTS.values() if k.exact and not k.config],
                         ids=lambda kind: kind.name)  # fmt: skip
def test_the_reader_agrees_with_what_was_written(kind, tmp_path):
    """The independent reader itself: channels that are kept as they are hold what was written."""
    due, planes = held(write_kind(tmp_path / "in", kind), kind.read), kind.planes()
    if due.dtype == planes.dtype and due.shape == planes.shape and "white" not in kind.name:
        scale = {2: 85, 4: 17}.get(kind.bits, 1)
        np.testing.assert_array_equal(due, planes * np.array(scale, planes.dtype))


def test_inks_become_the_colours_that_pillow_shows(tmp_path):
    kind = INPUTS["JPEG CMYK"]
    due = held(write_kind(tmp_path / "in", kind), kind.read)
    for z in range(DEPTH):
        with Image.open(tmp_path / "in" / f"s_{z}.jpg") as image:
            shown = np.asarray(image.convert("RGB")).astype(int)
        assert np.abs(shown - due[z]).max() <= 1


def test_by_the_users_command(tmp_path, write_config):
    """A stack in one file, and a note of what became of alpha."""
    kind = INPUTS["TIFF pages RGB"]
    due = held(write_kind(tmp_path / "in", kind), kind.read)
    done = zblocks("convert", write_config(compression="none", page="all", channels="grey"))
    assert done.code == 0, done.err
    _, found = read(tmp_path / "out")
    grey = np.stack([np.asarray(Image.fromarray(plane).convert("L")) for plane in due])
    np.testing.assert_array_equal(found[..., 0], grey)
    verified = zblocks(
        "verify", f"file://{tmp_path}/out", "--source", str(tmp_path / "config.json")
    )
    assert verified.code == 0, verified.out + verified.err


def test_alpha_is_dropped_with_a_note(tmp_path, write_config):
    write_kind(tmp_path / "in", INPUTS["PNG RGB and alpha"])
    plan = start(Config.load(write_config())).plan
    assert plan.notes == ('5 slices: alpha dropped ("channels": "all" keeps it)',)


def test_files_of_pages_follow_each_other(tmp_path, write_config):
    """Three pages, one, two: z goes on from file to file, in the list's order."""
    planes = INPUTS["TIFF grey uint16"].planes()
    planes = np.concatenate([planes, planes[:1] // 2])
    (tmp_path / "in").mkdir()
    for name, part in (("c", planes[:3]), ("a", planes[3:4]), ("b", planes[4:])):
        many_pages(tmp_path / "in" / f"{name}.tif", part)
    lines = ["c 7", "a 8", "b 9"]
    plan = convert(Config.load(write_config(page="all", sorted_filename=lines, compression="none")))
    assert plan.box.shape.z == 6
    _, found = read(tmp_path / "out")
    np.testing.assert_array_equal(found, planes)


REFUSED = {
    "pages": ({}, "has 5 pages; give \"page\": a number from 0 to 4, or \"page\": \"all\""),
    "page 9": ({"page": 9}, "no page 9, only 5 pages"),
    "channel 3": ({"page": 0, "channels": [3]}, "has channels 0 to 0, not 3"),
    "a missing file of pages": (
        {"page": "all", "sorted_filename": ["stack 0", "gone 1"]},
        "the number of pages in gone is not known",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_go_is_refused_by_name(name, tmp_path, write_config):
    write_kind(tmp_path / "in", INPUTS["TIFF pages are slices"])
    fields, words = REFUSED[name]
    with pytest.raises(ZblocksError) as caught:
        start(Config.load(write_config(**fields)))
    assert words in str(caught.value)


def tiff_of(data, **options):
    return lambda path: tifffile.imwrite(path, data, metadata=None, **options)


PLANE, RGB = np.zeros((20, 30), np.uint8), np.zeros((20, 30, 3), np.uint8)
UNREADABLE = {
    "signed": (tiff_of(PLANE.astype("int64")), "signed integers of 64 bits"),
    "64 bits": (tiff_of(PLANE.astype("float64")), "floats of 64 bits"),
    "12 bits": (tiff_of(PLANE.astype("uint16"), bitspersample=12), "unsigned integers of 12 bits"),
    "WebP": (tiff_of(RGB, compression="webp", photometric="rgb"), "WebP compression (50001)"),
    "Lab": (tiff_of(RGB, photometric="cielab"), "CIELab pixels"),
    "turned": (tiff_of(PLANE, extratags=[(274, 3, 1, 6, True)]), "an orientation tag (6)"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_unreadable_tiffs(name, tmp_path, write_config):
    write, words = UNREADABLE[name]
    (tmp_path / "in").mkdir()
    write(tmp_path / "in" / "odd.tif")
    with pytest.raises(ZblocksError, match=r"odd\.tif: this TIFF has") as caught:
        start(Config.load(write_config()))
    assert words in str(caught.value)
    assert "convert it or remove it from the list" in str(caught.value)


@pytest.mark.parametrize(("encoding", "channels"), [("jpeg", 2), ("jpeg", 4), ("png", 5)])
def test_encodings_that_lack_room_for_the_channels(encoding, channels, tmp_path, write_config):
    (tmp_path / "in").mkdir()
    data = np.zeros((20, 30, channels), np.uint8)
    extra = ["unspecified"] * (channels - 1)
    tifffile.imwrite(tmp_path / "in/a.tif", data, photometric="minisblack", extrasamples=extra,
                     planarconfig="contig")  # fmt: skip
    with pytest.raises(ZblocksError, match=f"the slices have {channels}; use"):
        start(Config.load(write_config(encoding=encoding)))


class Counted:
    """Bytes in memory that count how often they are asked for."""

    def __init__(self, data):
        self.name, self.data, self.size, self.reads = "held", data, len(data), 0

    def read_at(self, start, length):
        self.reads += 1
        return self.data[start : start + length]


def test_a_page_costs_the_same_wherever_it_is(tmp_path):
    """libtiff would walk over 499 pages to the last one."""
    stack = np.random.default_rng(0).integers(0, 99, (500, 200, 200, 1)).astype(np.uint8)
    many_pages(tmp_path / "stack.tif", stack, compression="zlib")
    source = Counted((tmp_path / "stack.tif").read_bytes())
    reads = []
    for page in (0, 250, 499):
        header = probe(source, page=page)
        source.reads = 0
        out = np.empty((200, 200, 1), np.uint8)
        open_slice(source, header, 200).read_rows(out)
        reads.append(source.reads)
        np.testing.assert_array_equal(out, stack[page])
    assert max(reads) <= 5, reads


def test_a_large_single_strip_is_read():
    """libtiff's default limit of 50 MB refuses it; the plan counts its bytes."""
    file = io.BytesIO()
    plane = np.random.default_rng(0).integers(0, 255, (8000, 8000)).astype(np.uint8)
    tifffile.imwrite(file, plane, compression="lzw", rowsperstrip=8000, metadata=None)
    source = Counted(file.getvalue())
    header = probe(source)
    assert header.held > 2 * source.size * 0.99
    reader = open_slice(source, header, 64)
    out = np.empty((64, 8000, 1), np.uint8)
    for y in range(0, 8000, 64):
        reader.read_rows(out)
        np.testing.assert_array_equal(out[..., 0], plane[y : y + 64])


def test_the_document_of_a_page_travels(tmp_path, write_config):
    write_kind(tmp_path / "in", INPUTS["TIFF pages are slices"])
    config = Config.load(write_config(page="all"))
    prepared = start(config)
    tasks = read_tasks(prepared.plan, open_store(config.destination))
    refs = [ref for task in tasks for ref in task.slices]
    assert [ref.page for ref in refs] == [0, 1, 2, 3, 4]
    assert [ref.at > 0 for ref in refs] == [False, True, True, True, True]
    assert refs == [ref for task in prepared.pending for ref in task.slices]
    other = Config.load(write_config(page=1, destination=f"file://{tmp_path}/one"))
    assert start(other).plan.volume_id != prepared.plan.volume_id


def test_another_page_is_converted_anew(tmp_path, write_config):
    """Blocks of the same files and the same grid, but another page, don't stand."""
    kind = INPUTS["TIFF pages are slices"]
    due = held(write_kind(tmp_path / "in", kind), kind.read)
    for page in (1, 3):
        convert(Config.load(write_config(page=page, overwrite=page == 3, compression="none")))
        np.testing.assert_array_equal(read(tmp_path / "out")[1], due[page : page + 1])


@pytest.mark.parametrize("channels", [2, 4])
def test_png_chunks_of_two_and_four_channels(channels, tmp_path, write_config):
    (tmp_path / "in").mkdir()
    planes = INPUTS["PNG alpha kept"].planes()[..., :channels]
    for z, plane in enumerate(planes):
        tifffile.imwrite(tmp_path / f"in/{z}.tif", plane, photometric="minisblack",
                         planarconfig="contig", extrasamples=[0] * (channels - 1))  # fmt: skip
    convert(Config.load(write_config(encoding="png")))
    np.testing.assert_array_equal(read(tmp_path / "out")[1], planes)
