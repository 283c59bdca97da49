"""JPEG 2000 slices by tiles: every voxel as when they are decoded whole, and no other bytes."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image

from tests.flow.conftest import textured, zblocks
from tests.flow.test_boxes import volume
from tests.flow.test_traffic import convert
from tests.flow.test_windows import Counted, rows_of
from tests.references import pyramid_of, read_info
from tests.tiled_jp2 import (
    by_tiles,
    in_two,
    jp2,
    one_by_imagecodecs,
    padded,
    stitched,
    with_lengths,
)
from zblocks.errors import SliceError
from zblocks.planning.requests import slice_gets
from zblocks.run.job import read_tasks
from zblocks.slices import ChannelSelection, probe, probe_pages
from zblocks.slices.window import Window

LOSSY = {"irreversible": True, "quality_layers": [8]}
ENCODINGS = {
    "lossless": {"tile_size": (100, 130)},
    "lossy": {"tile_size": (128, 90), **LOSSY},
    "off the origin": {"offset": (13, 7), "tile_size": (200, 150), "tile_offset": (5, 3)},
    "precincts": {
        "progression": "RPCL",
        "precinct_size": (128, 128),
        "num_resolutions": 4,
        "tile_size": (150, 64),
    },
    "layers": {"irreversible": True, "quality_layers": [40, 20, 10], "tile_size": (64, 64)},
    "codestream": {"no_jp2": True, "tile_size": (301, 50)},
}


def plane_of(channels, dtype="uint8", height=331, width=217):
    plane = textured((1, height, width, channels), dtype)[0]
    return plane[..., 0] if channels == 1 else plane


def pillows(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


PLANES = {"grey": plane_of(1), "RGB": plane_of(3), "16 bits": plane_of(1, "uint16")}
DATA = {
    f"{name}, {kind}": jp2(plane, **how)
    for name, how in ENCODINGS.items()
    for kind, plane in PLANES.items()
}
WHOLE = {name: pillows(data) for name, data in DATA.items()}
DEEP = plane_of(3, "uint16")
DATA["RGB of 16 bits"], WHOLE["RGB of 16 bits"] = stitched(DEEP, (64, 64), one_by_imagecodecs), DEEP


def check(data, due):
    """Every pixel, and those of any window, some rows at a time."""
    header = probe(Counted(data))
    assert (header.kind, header.whole) == ("jp2-tiles", "")
    due = due.reshape(header.height, header.width, header.channels)
    np.testing.assert_array_equal(rows_of(Counted(data), header, header.height), due)
    rng = np.random.default_rng(len(data))
    for rows in (1, 37, 64):
        (x0, x1), (y0, y1) = (
            sorted(rng.choice(n + 1, 2, replace=False).tolist())
            for n in (header.width, header.height)
        )
        found = rows_of(Counted(data), header, rows, window=Window(x0, y0, x1, y1))
        np.testing.assert_array_equal(found, due[y0:y1, x0:x1])


@pytest.mark.parametrize("name", DATA)
def test_every_pixel_is_that_of_the_whole_slice(name):
    check(with_lengths(DATA[name]), WHOLE[name])


@pytest.mark.parametrize("form", [(0, 2), (0, 4), (1, 2), (1, 4), (2, 2), (2, 4)])
def test_lengths_in_every_form(form):
    check(with_lengths(DATA["layers, RGB"], form, segments=3), WHOLE["layers, RGB"])


@pytest.mark.parametrize("order", ["together", "apart", "backwards"])
def test_tiles_of_two_parts(order):
    """Parts of a tile lie together, apart, or the last tile's first."""
    put = {
        "together": list,
        "apart": lambda parts: parts[::2] + parts[1::2],
        "backwards": lambda parts: parts[-2::-2] + parts[::-2],
    }
    plane = plane_of(3)
    data = with_lengths(jp2(plane, tile_size=(64, 64), plt=True), cut=in_two, order=put[order])
    np.testing.assert_array_equal(pillows(data), plane)
    check(data, plane)


def test_tiles_with_empty_parts():
    check(with_lengths(DATA["layers, RGB"], cut=padded), WHOLE["layers, RGB"])


def cut_off(data):
    return data[:-1]


def packed_heads(data):
    at = data.index(b"\xff\x52")
    return data[:at] + b"\xff\x60\0\x03\0" + data[at:]


TILED = jp2(plane_of(1, height=600), tile_size=(64, 64))
OTHERWISE = {
    "no lengths": lambda: TILED,
    "one tile": lambda: with_lengths(jp2(plane_of(1, height=600))),
    "cut off": lambda: cut_off(with_lengths(TILED)),
    "packed heads": lambda: packed_heads(with_lengths(TILED)),
    "a sum": lambda: with_lengths(TILED, change=lambda p: [*p[:-1], (p[-1][0], p[-1][1] - 1)]),
    "no last tile": lambda: with_lengths(TILED, change=lambda p: p[:-1]),
    "a tile twice": lambda: with_lengths(TILED, change=lambda p: [(0, p[1][1]), *p[1:]][::-1]),
    "another tile": lambda: with_lengths(TILED, change=lambda p: [(9999, p[0][1]), *p[1:]]),
    "another form": lambda: with_lengths(TILED).replace(b"\0\x60", b"\0\x50", 1),
    "the same segment": lambda: with_lengths(TILED, segments=2).replace(b"\1\x60", b"\0\x60", 1),
    "alpha": lambda: with_lengths(
        jp2(np.dstack([plane_of(3), plane_of(1)]), tile_size=(64, 64))
    ),
    "luma and chroma": lambda: with_lengths(
        jp2(plane_of(3), tile_size=(64, 64)).replace(
            b"colr\1\0\0\0\0\0\x10", b"colr\1\0\0\0\0\0\x12"
        )
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", OTHERWISE)
def test_others_are_read_as_ever(what):
    header = probe(Counted(OTHERWISE[what]()))
    assert header.kind in ("jp2", "jp2-strips")
    assert header.piece is None


def test_so_are_reduced_resolutions_and_selected_channels():
    data = with_lengths(DATA["lossless, RGB"])
    assert probe(Counted(data), ChannelSelection("grey")).kind == "jp2"
    (reduced,) = probe_pages(Counted(data), level=1)
    assert reduced.kind == "jp2"


def test_lengths_that_do_not_fit_the_tiles_are_told():
    """Their sum is right, so that only the tile-parts themselves show it."""

    def swapped(parts):
        (a, first), (b, second), *rest = parts
        return [(a, second), (b, first), *rest]

    data = with_lengths(TILED, change=swapped)
    source = Counted(data)
    header = probe(source)
    assert header.kind == "jp2-tiles"
    with pytest.raises(
        SliceError, match=r"held: damaged JP2 \(tile 0: at \d+ is part 0 of tile 0, "
    ):
        rows_of(source, header, 64)
    below = rows_of(source, header, 64, window=Window(0, 64, 217, 600))
    np.testing.assert_array_equal(below, pillows(TILED)[64:, :, None])


def test_a_part_that_is_said_to_be_of_another_tile_is_missed():
    data = jp2(plane_of(1), tile_size=(64, 64), plt=True)
    data = with_lengths(data, cut=in_two, change=lambda p: [p[0], (1, p[1][1]), *p[2:]])
    header = probe(Counted(data))
    assert header.kind == "jp2-tiles"
    with pytest.raises(SliceError, match=r"tile 0: it has 2 parts, of which the main header has 1"):
        rows_of(Counted(data), header, 64, window=Window(0, 0, 64, 64))


@pytest.mark.parametrize("spoil", ["marker", "number", "length", "end"])
def test_a_damaged_tile_is_named_and_the_others_are_read(spoil):
    data = bytearray(with_lengths(TILED))
    header = probe(Counted(bytes(data)))
    at = data.index(b"\xff\x90\0\x0a\0\x0b")
    if spoil == "end":
        data = data[: at + 40]
    else:
        data[at + {"marker": 1, "number": 5, "length": 9}[spoil]] ^= 1
    source = Counted(bytes(data))
    source.size = len(data) + (header.height if spoil == "end" else 0)
    above = Window(0, 0, 217, 64 * 2)
    if spoil != "end":
        found = rows_of(source, header, 64, window=above)
        np.testing.assert_array_equal(found, pillows(TILED)[:128, :, None])
    with pytest.raises(SliceError, match=r"held: (damaged JP2 \(tile 11: |is a JPEG 2000 of wh)"):
        rows_of(source, header, 64, window=Window(0, 128, 217, 192))


def test_no_flip_in_the_lengths_changes_a_pixel():
    data = with_lengths(DATA["lossless, grey"])
    at = data.index(b"\xff\x55")
    size = 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    kinds = set()
    for bit in range(8 * 2, 8 * size):
        spoilt = bytearray(data)
        spoilt[at + bit // 8] ^= 1 << bit % 8
        try:
            header = probe(Counted(bytes(spoilt)))
            found = rows_of(Counted(bytes(spoilt)), header, 64)
        except SliceError:
            kinds.add("refused")
            continue
        kinds.add(header.kind)
        np.testing.assert_array_equal(found[..., 0], WHOLE["lossless, grey"])
    assert kinds >= {"refused", "jp2"}


def test_a_window_costs_its_tiles_and_a_long_header_few_requests():
    plane = plane_of(1, height=1600, width=1700)
    data = with_lengths(jp2(plane, tile_size=(16, 32), num_resolutions=1))  # 32 KB of lengths
    source = Asked(data)
    header = probe(source)
    assert len(source.asked) <= 4
    source.asked.clear()
    window = Window(800, 720, 1000, 880)
    np.testing.assert_array_equal(rows_of(source, header, 64, window=window)[..., 0],
                                  plane[720:880, 800:1000])  # fmt: skip
    assert len(source.asked) <= 2 + 6
    tiles = len(data) * (13 * 16 * 6 * 32) / plane.size
    assert sum(source.asked) < 1.1 * tiles + (1 << 17)


class Asked(Counted):
    """Bytes in memory that keep the length of each request."""

    def __init__(self, data):
        super().__init__(data)
        self.asked = []

    def read_at(self, start, length):
        found = super().read_at(start, length)
        self.asked.append(len(found))
        return found


def write_stack(folder, voxels, **how):
    folder.mkdir()
    for z, plane in enumerate(voxels):
        by_tiles(folder / f"s_{z:03}.jp2", plane, **how)


def test_slices_are_read_once(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((20, 500, 600, 1), "uint8"), tile=(128, 128))
    job, (gets, read, *_), _ = convert(tmp_path, write_config, chunk_size=[32, 32, 16])
    source_bytes = sum(p.stat().st_size for p in (tmp_path / "in").iterdir())
    assert source_bytes - 2 * 20 <= read <= 1.02 * source_bytes
    (task,) = {t.index: t for t in read_tasks(job.plan, job.target)}.values()
    assert gets == sum(slice_gets(job.plan, ref) for ref in task.slices) == 20 * 5


@pytest.mark.parametrize("channels", [1, 3])
def test_by_the_users_command_in_a_small_worker(tmp_path, write_config, channels):
    """The volume is cut along z and x, and blocks stay within the memory that was planned."""
    voxels = textured((24, 900, 1100, channels), "uint8")
    write_stack(tmp_path / "in", voxels, tile=(128, 128))
    config = write_config(ext=".jp2", compression="none", chunk_size=[32, 32, 4], scales=3)
    memory = 108 if channels == 1 else 112
    done = zblocks("convert", config, "--memory", memory, "--workers", 1, forked=False)
    assert done.code == 0, done.err
    plan = json.loads((tmp_path / "out/.zblocks/plan.json").read_text())
    report = json.loads((tmp_path / "out/.zblocks/report.json").read_text())
    width, _, depth = plan["block_shape"]
    assert 0 < width < 1100
    assert depth < 24
    assert report["peak_mb"] <= plan["predicted_peak_mb"] <= memory
    pyramid = pyramid_of(voxels, read_info(tmp_path / "out"))
    for ours, due in zip(volume(tmp_path / "out"), pyramid, strict=True):
        np.testing.assert_array_equal(ours, due)
