"""Any window of a slice is what the whole slice has there, whatever its format."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from tests.flow.inprocess import write_kind
from tests.formats.registry import INPUTS
from zblocks.config import Config
from zblocks.errors import SliceError
from zblocks.slices import ChannelSelection, open_slice, probe
from zblocks.slices.window import Window


class Counted:
    """Bytes in memory that count what is asked for."""

    def __init__(self, data):
        self.name, self.data, self.size, self.taken = "held", data, len(data), 0

    def read_at(self, start, length):
        found = self.data[start : start + length]
        self.taken += len(found)
        return found


def rows_of(source, header, rows, **more):
    window = more.get("window") or Window(0, 0, header.width, header.height)
    out = np.zeros((window.height, window.width, header.channels), header.dtype)
    reader = open_slice(source, header, rows, **more)
    for y in range(0, window.height, rows):
        reader.read_rows(out[y : y + rows])
    return out


@pytest.mark.parametrize("kind", INPUTS.values(), ids=lambda kind: kind.name)
def test_any_window_of_every_kind(kind, tmp_path, write_config):
    write_kind(tmp_path / "in", kind)
    config = Config.load(write_config(**{"compression": "none", **kind.config}))
    source = Counted(min((tmp_path / "in").iterdir()).read_bytes())
    chosen = ChannelSelection(config.channel_selection, labels=config.layer_type == "segmentation")
    page = config.page if isinstance(config.page, int) else 0 if config.page == "all" else None
    header = probe(source, chosen, page=page)
    whole = rows_of(source, header, 64, selection=chosen)
    rng = np.random.default_rng(len(kind.name))
    for rows in (1, 16, 64):
        (x0, x1), (y0, y1) = (
            sorted(rng.choice(n + 1, 2, replace=False).tolist())
            for n in (header.width, header.height)
        )
        window = Window(x0, y0, x1, y1)
        found = rows_of(source, header, rows, selection=chosen, window=window)
        np.testing.assert_array_equal(found, whole[y0:y1, x0:x1], err_msg=str(window))


def part_of(source, header, window):
    """Return a window's pixels; None if it is damaged."""
    try:
        return rows_of(source, header, 64, window=window)
    except SliceError:
        return None


PLANE = np.random.default_rng(7).integers(0, 4000, (3000, 2000)).astype(np.uint16)

LAYOUTS = {
    "tiles": {"tile": (128, 256)},
    "deflated tiles": {"tile": (256, 256), "compression": "zlib", "predictor": True},
    "zstd tiles": {"tile": (256, 256), "compression": "zstd"},
    "strips of 1 row": {"rowsperstrip": 1},
    "strips of 7 rows": {"rowsperstrip": 7, "compression": "lzw"},
    "tall strips": {"rowsperstrip": 1009},
    "one strip": {"rowsperstrip": 3000},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_window_costs_what_lies_in_it(layout):
    """Of a TIFF only the strips or tiles that it touches are read; 1 in 8 of each axis here."""
    file = io.BytesIO()
    tifffile.imwrite(file, PLANE, metadata=None, **LAYOUTS[layout])
    source = Counted(file.getvalue())
    header = probe(source)
    window = Window(700, 1100, 950, 1480)
    source.taken = 0
    found = rows_of(source, header, 64, window=window)
    np.testing.assert_array_equal(found[..., 0], PLANE[1100:1480, 700:950])
    across = 2000 if "strip" in layout else 256 + 256
    down = 380 + 2 * (256 if "deflated" in layout or "zstd" in layout else 128)
    share = across * down / PLANE.size
    assert source.taken <= share * source.size + (1 << 17), source.taken / source.size


def test_the_corner_of_a_page_whose_last_tiles_are_mostly_empty():
    file = io.BytesIO()
    tifffile.imwrite(file, PLANE[:520, :1040], metadata=None, tile=(512, 1024), compression="zlib")
    source = Counted(file.getvalue())
    found = rows_of(source, probe(source), 64, window=Window(1030, 513, 1040, 520))
    np.testing.assert_array_equal(found[..., 0], PLANE[513:520, 1030:1040])


def test_a_file_that_was_cut_short_is_named_wherever_the_window_is():
    file = io.BytesIO()
    tifffile.imwrite(file, PLANE, metadata=None, tile=(256, 256), compression="zlib")
    whole = file.getvalue()
    header = probe(Counted(whole))
    spoilt = bytearray(whole)
    spoilt[len(whole) // 2 : len(whole) // 2 + 300] = bytes(300)
    windows = [Window(0, y, 2000, min(y + 256, 3000)) for y in range(0, 3000, 256)]
    found = [part_of(Counted(bytes(spoilt)), header, window) for window in windows]
    assert 1 <= sum(rows is None for rows in found) <= 2
    for window, rows in zip(windows, found, strict=True):
        if rows is not None:
            np.testing.assert_array_equal(rows[..., 0], PLANE[window.y0 : window.y1])
    with pytest.raises(SliceError, match="rerun to make a new plan"):
        rows_of(Counted(whole), replace(header, width=1999), 64)
