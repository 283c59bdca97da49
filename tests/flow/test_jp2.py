"""JPEG 2000 slices: decoded whole, planned for, and damaged ones named."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tests.flow.conftest import textured, zblocks
from tests.references import pyramid_of, read_info, read_tensorstore


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
