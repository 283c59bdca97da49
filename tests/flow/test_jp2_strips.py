"""Large JPEG 2000 slices in strips: every voxel as when they are decoded whole."""

from __future__ import annotations

import gc
import io
import struct
import weakref
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from tests.flow.conftest import textured
from tests.flow.inprocess import do_all
from tests.references import pyramid_of, read_info, read_tensorstore
from zblocks.config import Config
from zblocks.errors import SliceError, SourceChanged
from zblocks.planning.stores import open_stores
from zblocks.planning.time import WorkerSpec
from zblocks.run.finalize import finalize
from zblocks.run.job import open_job
from zblocks.run.start import Run, prepare
from zblocks.slices import ChannelSelection, jp2_rows, open_slice, probe, probe_pages, whole

LOSSY = {"irreversible": True, "quality_layers": [8]}
ENCODINGS = {
    "lossless": {},
    "lossy": LOSSY,
    "tiles": {"tile_size": (100, 130)},
    "lossy tiles": {"tile_size": (128, 90), **LOSSY},
    "off the origin": {"offset": (13, 7), "tile_size": (200, 150), "tile_offset": (5, 3)},
    "precincts": {"progression": "RPCL", "precinct_size": (128, 128), "num_resolutions": 4},
    "layers": {"irreversible": True, "quality_layers": [40, 20, 10]},
    "codestream": {"no_jp2": True},
}


@pytest.fixture(autouse=True)
def _low_strips(monkeypatch):
    """Strips of 64 rows, so that small slices have several."""
    monkeypatch.setattr(jp2_rows, "LEAST", 64)
    monkeypatch.setattr(jp2_rows, "MOST", 64)


class Bytes:
    """A file in memory."""

    def __init__(self, data):
        self.name, self.size, self._data = "s.jp2", len(data), data

    def read_at(self, start, length):
        return self._data[start : start + length]


def plane_of(channels, height=331, width=217):
    plane = textured((1, height, width, channels), "uint8")[0]
    return plane[..., 0] if channels in (1, 2) else plane


def jp2(plane, **how):
    file = io.BytesIO()
    Image.fromarray(plane).save(file, "JPEG2000", **how)
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_pixel_is_that_of_the_whole_slice(channels, encoding):
    data = jp2(plane_of(channels), **ENCODINGS[encoding])
    header = probe(Bytes(data))
    assert (header.kind, header.whole) == ("jp2-strips", "")
    reader = open_slice(Bytes(data), header, 1)
    found = np.empty((header.height, header.width, channels), np.uint8)
    at = 0
    for rows in [1, 62, 64, 70, 3]:
        reader.read_rows(found[at : at + rows])
        at += rows
    reader.read_rows(found[at:])
    due = np.asarray(Image.open(io.BytesIO(data))).reshape(found.shape)
    np.testing.assert_array_equal(found, due)
    at_once = np.empty_like(found)
    open_slice(Bytes(data), header, header.height).read_rows(at_once)
    np.testing.assert_array_equal(at_once, due)


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_pixel_of_more_than_8_bits(channels, bits):
    plane = plane_of(channels).astype(np.uint16) * 257 >> (16 - bits)
    data = imagecodecs.jpeg2k_encode(plane, level=0, bitspersample=bits)
    header = probe(Bytes(data))
    assert (header.kind, header.dtype) == ("jp2-strips", "uint16")
    for rows in (50, 331):
        reader, found = open_slice(Bytes(data), header, rows), np.empty_like(plane)
        whole = found.reshape(331, 217, channels)
        for y in range(0, 331, rows):
            reader.read_rows(whole[y : y + rows])
        np.testing.assert_array_equal(found, plane)


@pytest.mark.parametrize("level", [1, 2])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("encoding", [e for e in ENCODINGS if e != "off the origin"])
def test_every_pixel_of_a_reduced_resolution_is_pillows(channels, encoding, level):
    """Sizes that Pillow rounds as the standard does; it doesn't reduce images off the origin."""
    data = jp2(plane_of(channels, height=1331, width=219), **ENCODINGS[encoding])
    (header,) = probe_pages(Bytes(data), level=level)
    assert (header.kind, header.factor, header.full) == ("jp2-strips", 1 << level, (219, 1331))
    reader = open_slice(Bytes(data), header, 1)
    found = np.empty((header.height, header.width, channels), np.uint8)
    for y in range(0, header.height, 50):
        reader.read_rows(found[y : y + 50])
    with Image.open(io.BytesIO(data)) as image:
        image.reduce = level
        np.testing.assert_array_equal(found, np.asarray(image).reshape(found.shape))


@pytest.mark.parametrize("encoding", ["lossless", "tiles", "codestream"])
@pytest.mark.parametrize("kept", [0.3, 0.7, 0.99])
def test_a_slice_that_was_cut_off_is_damaged(encoding, kept):
    data = jp2(plane_of(1), **ENCODINGS[encoding])
    header = probe(Bytes(data))
    reader = open_slice(Bytes(data[: int(len(data) * kept)]), header, 1)
    with pytest.raises(SliceError, match=r"s\.jp2: damaged JP2"):
        reader.read_rows(np.empty((331, 217, 1), np.uint8))


@pytest.mark.parametrize("encoding", ["lossless", "tiles"])
def test_what_the_store_says_while_openjpeg_reads_is_raised(encoding):
    data = jp2(plane_of(3), **ENCODINGS[encoding])
    source = Bytes(data)
    reader = open_slice(source, probe(source), 1)

    def changed(start, length):
        if start > 10_000 or length > 10_000:
            raise SourceChanged("s.jp2: changed")
        return data[start : start + length]

    source.read_at = changed
    with pytest.raises(SourceChanged):
        reader.read_rows(np.empty((331, 217, 3), np.uint8))


@pytest.mark.parametrize("encoding", ["lossless", "tiles"])
def test_a_slice_that_is_not_read_to_its_end_is_freed_at_once(encoding):
    """By itself: Python collects cycles late, and a decoder holds the whole file."""
    source = Bytes(jp2(plane_of(3), **ENCODINGS[encoding]))
    header = probe(source)
    gc.collect()
    gc.disable()
    try:
        reader = open_slice(source, header, 1)
        reader.read_rows(np.empty((100, 217, 3), np.uint8))
        held = [weakref.ref(each) for each in (reader, reader._read, reader._decoder) if each]
        del reader
        assert [each() for each in held] == [None] * len(held)
    finally:
        gc.enable()


def spaced(space):
    """Return a file whose colour box names another space than sRGB."""
    return jp2(plane_of(3)).replace(
        b"colr\1\0\0\0\0\0\x10", b"colr\1\0\0" + space.to_bytes(4, "big")
    )


WHOLE = {
    "alpha": jp2(np.dstack([plane_of(3), plane_of(1)])),
    "luma and chroma": spaced(18),
    "low": jp2(plane_of(1, height=100)),
}


@pytest.mark.parametrize("what", ["alpha", "luma and chroma", "low"])
def test_others_are_decoded_whole_as_ever(what):
    assert probe(Bytes(WHOLE[what])).kind == "jp2"


def test_so_are_all_where_openjpeg_cannot_be_called(monkeypatch):
    monkeypatch.setattr(whole, "library", lambda: None)
    assert probe(Bytes(jp2(plane_of(1)))).kind == "jp2"


def test_what_pillow_would_change_is_refused_there(monkeypatch):
    monkeypatch.setattr(whole, "library", lambda: None)
    deep = imagecodecs.jpeg2k_encode(plane_of(3).astype(np.uint16) * 200, level=0)
    with pytest.raises(SliceError, match="of 16 bits, and its OpenJPEG can't be called here"):
        probe(Bytes(deep))


def test_so_are_those_of_which_other_channels_are_selected():
    assert probe(Bytes(jp2(plane_of(3))), ChannelSelection("grey")).kind == "jp2"


@pytest.mark.parametrize("channels", [1, 3])
def test_a_volume_that_is_converted_in_strips(tmp_path, write_config, channels):
    voxels = textured((20, 900, 300, channels), "uint8")
    (tmp_path / "in").mkdir()
    for z, plane in enumerate(voxels):
        flat = plane if channels == 3 else plane[..., 0]
        (tmp_path / "in" / f"s_{z:03d}.jp2").write_bytes(jp2(flat))
    config = Config.load(write_config(ext=".jp2", compression="none"))
    prepared = prepare(config, open_stores(config), [WorkerSpec(110)], Run())
    assert prepared.plan.rows < 900
    job = open_job(config.destination)
    do_all(job, prepared.pending)
    assert finalize(job, Run()).status == "COMPLETE"
    info = read_info(tmp_path / "out")
    found = read_tensorstore({"driver": "file", "path": f"{tmp_path}/out/"}, info)
    for ours, due in zip(found, pyramid_of(voxels, info), strict=True):
        np.testing.assert_array_equal(ours, due)


MARKED = Path(__file__).parents[1] / "formats/sop_eph.j2k"
"""90×260, by `opj_compress -r 8 -I -SOP -EPH`: markers around the head of each packet."""


def apart(main, *, marks):
    """Return the file with the heads of its packets before them: in its main header, or the tile's.

    `marks`: whether heads keep the marker at their end.
    """
    data = MARKED.read_bytes()
    tile, packets = data.index(b"\xff\x90"), data.index(b"\xff\x93") + 2
    start, heads, bodies = bytearray(data[:tile]), b"", b""
    start[start.index(b"\xff\x52") + 4] &= ~(2 if marks else 6)
    for packet in data[packets:-2].split(b"\xff\x91\0\4")[1:]:
        head, body = packet[2:].split(b"\xff\x92", 1)
        heads, bodies = heads + head + b"\xff\x92" * marks, bodies + body
    stored = struct.pack(">I", len(heads)) * main + heads
    segment = struct.pack(">HHB", 0xFF60 if main else 0xFF61, 3 + len(stored), 0) + stored
    size = 14 + len(bodies) + len(segment) * (not main)
    part = struct.pack(">HHHIBB", 0xFF90, 10, 0, size, 0, 1)
    order = [segment, part] if main else [part, segment]
    return b"".join([start, *order, b"\xff\x93", bodies, b"\xff\xd9"])


@pytest.mark.parametrize("marks", [True, False])
@pytest.mark.parametrize("main", [True, False])
def test_heads_of_packets_that_are_stored_apart(main, marks):
    """A decoder that stays open would take all packets for empty from the second strip on."""
    due = np.asarray(Image.open(MARKED))[..., None]
    data = apart(main, marks=marks)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data)))[..., None], due)
    header = probe(Bytes(data))
    assert header.kind == "jp2-strips"
    reader, found = open_slice(Bytes(data), header, 1), np.empty_like(due)
    for y in range(0, len(due), 50):
        reader.read_rows(found[y : y + 50])
    np.testing.assert_array_equal(found, due)
