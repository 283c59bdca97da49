"""JPEG 2000 slices: decoded whole, planned for, and damaged ones named."""

from __future__ import annotations

import json
import struct

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from tests.field.test_other_files import box
from tests.flow.conftest import textured, zblocks
from tests.flow.inprocess import convert, read
from tests.references import pyramid_of, read_info, read_tensorstore
from zblocks.config import Config
from zblocks.errors import SliceError


def write_jp2(folder, voxels):
    """Write lossless slices; codestreams of 16 bits alone, so that both forms are read."""
    folder.mkdir()
    for z, plane in enumerate(voxels):
        flat = plane if plane.shape[2] == 3 else plane[..., 0]
        form = {"format": "JPEG2000", "no_jp2": flat.dtype == np.uint16}
        Image.fromarray(flat).save(folder / f"s_{z:03d}.jp2", **form)


@pytest.mark.parametrize(("dtype", "channels"), [("uint8", 1), ("uint8", 3), ("uint16", 1)])
def test_they_convert_bit_for_bit(tmp_path, write_config, dtype, channels):
    voxels = textured((9, 80, 100, channels), dtype)
    write_jp2(tmp_path / "in", voxels)
    assert zblocks("convert", write_config(ext=".jp2", compression="none")).code == 0
    info = read_info(tmp_path / "out")
    found = read_tensorstore({"driver": "file", "path": f"{tmp_path}/out/"}, info)
    for ours, due in zip(found, pyramid_of(voxels, info), strict=True):
        np.testing.assert_array_equal(ours, due)
    plan = json.loads((tmp_path / "out/.zblocks/plan.json").read_text())
    assert "JP2 slices can't be read in strips" in plan["notes"][-1]


def test_a_small_worker_gets_small_blocks_or_is_refused(tmp_path, write_config):
    write_jp2(tmp_path / "in", textured((40, 900, 1000, 1), "uint8"))
    config = write_config(ext=".jp2")
    assert zblocks("convert", config, "--memory", 190, "--workers", 1, forked=False).code == 0
    plan = json.loads((tmp_path / "out/.zblocks/plan.json").read_text())
    assert plan["rows"] == 900
    assert plan["block_shape"][2] < 40
    report = json.loads((tmp_path / "out/.zblocks/report.json").read_text())
    assert report["peak_mb"] <= plan["predicted_peak_mb"] <= 190
    refused = zblocks("convert", write_config(ext=".jp2", overwrite=True), "--memory", 95)
    assert refused.code == 2
    assert "need a worker with at least" in refused.err


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.9])
def test_a_damaged_one_is_named(tmp_path, write_config, kept):
    write_jp2(tmp_path / "in", textured((3, 80, 100, 1), "uint8"))
    bad = tmp_path / "in" / "s_001.jp2"
    bad.write_bytes(bad.read_bytes()[: int(bad.stat().st_size * kept)])
    done = zblocks("convert", write_config(ext=".jp2"))
    assert done.code in (1, 2)
    assert "s_001.jp2: damaged JP2" in done.err


RGB = textured((1, 40, 60, 3), "uint16")[0]


def colours(bits, space=16, order=(1, 2, 3)):
    """Return a JPEG 2000 of channels that are in a colour space, and which colours they are."""
    plane = (RGB >> (16 - bits)).astype(np.uint8 if bits <= 8 else np.uint16)
    data = imagecodecs.jpeg2k_encode(plane, level=0, codecformat="jp2", bitspersample=bits)
    data = data.replace(b"colr\1\0\0\0\0\0\x10", b"colr\1\0\0" + struct.pack(">I", space))
    kinds = b"".join(struct.pack(">3H", n, 0, colour) for n, colour in enumerate(order))
    more, at = box(b"cdef", struct.pack(">H", 3) + kinds), data.index(b"jp2h") - 4
    (size,) = struct.unpack_from(">I", data, at)
    head = struct.pack(">I", size + len(more)) + data[at + 4 : at + size]
    return data[:at] + head + more + data[at + size :]


@pytest.mark.parametrize("bits", [5, 8, 12, 16])
def test_channels_in_another_order_become_rgb(bits, tmp_path, write_config):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/s.jp2").write_bytes(colours(bits, order=(3, 2, 1)))
    convert(Config.load(write_config(compression="none")))
    np.testing.assert_array_equal(read(tmp_path / "out")[1][0], RGB[..., ::-1] >> (16 - bits))


@pytest.mark.parametrize(("bits", "space"), [(12, 18), (16, 18), (5, 18), (8, 14), (16, 24)])
def test_colours_that_nobody_here_makes_rgb_of_are_refused(bits, space, tmp_path, write_config):
    """Luma and chroma of other than 8 bits (18, 24), and CIELab (14)."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/s.jp2").write_bytes(colours(bits, space))
    with pytest.raises(SliceError, match=rf"another space than RGB \(number {space}\)"):
        convert(Config.load(write_config()))


def test_luma_and_chroma_of_8_bits_become_rgb(tmp_path, write_config):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/s.jp2").write_bytes(colours(8, 18))
    convert(Config.load(write_config(compression="none")))
    shown = Image.frombytes("YCbCr", (60, 40), (RGB >> 8).astype(np.uint8).tobytes())
    found = read(tmp_path / "out")[1][0].astype(int)
    assert np.abs(found - np.asarray(shown.convert("RGB"))).max() <= 1
