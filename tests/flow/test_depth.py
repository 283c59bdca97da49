"""Contrast and depth: every voxel, one contrast for the whole stack, bit-exact without."""

from __future__ import annotations

import json
from urllib.parse import unquote

import numpy as np
import pytest
import tifffile

from tests.flow.conftest import textured, write_stack, zblocks
from tests.flow.test_region import check, held
from tests.references import framed

CHUNKS = {"chunk_size": [16, 16, 4], "compression": "none"}


def stretched(voxels, low, high, dtype):
    """Stretch by the formula that the config documents."""
    top = np.iinfo(dtype).max
    scaled = (voxels.astype(np.float64) - low) * top / (high - low)
    return np.rint(np.clip(scaled, 0, top)).astype(dtype)


def percentiles(voxels, marks):
    return [float(v) for v in np.percentile(voxels, marks, method="inverted_cdf")]


def brightening(shape, dtype="uint16", most=4000):
    """Slices that get brighter with z: a contrast of their own would show in each block."""
    rng = np.random.default_rng(3)
    ramp = np.linspace(0.2, 1, shape[0])[:, None, None, None]
    return (rng.uniform(100, most, shape) * ramp).astype(dtype)


def write_floats(folder, voxels):
    folder.mkdir()
    for z, plane in enumerate(voxels):
        tifffile.imwrite(folder / f"s_{z:03d}.tif", plane[..., 0])


def provenance(tmp_path):
    return json.loads((tmp_path / "out/provenance").read_text())


@pytest.mark.parametrize(
    ("kind", "contrast", "fields"),
    [
        ((".tif", "uint16", 1), {"percentiles": [1, 99]}, {"dtype": "uint8"}),
        ((".tif", "uint16", 3), {"percentiles": [0.5, 98]}, {"dtype": "uint8", "sharding": True}),
        ((".png", "uint16", 1), {"range": [300, 2500]}, {"voxel_offset": [1, -3, 5]}),
        ((".png", "uint8", 1), {"percentiles": [5, 95]}, {}),
        ((".jpg", "uint8", 3), {"range": [20, 199.5]}, {"dtype": "uint16"}),
        ((".jpg", "uint8", 1), {"range": [20, 200]}, {}),
    ],
)
def test_every_voxel(tmp_path, write_config, kind, contrast, fields):
    """Several blocks, none with a contrast of its own; a missing slice keeps its fill value."""
    ext, dtype, channels = kind
    top = 250 if dtype == "uint8" else 4000
    voxels = brightening((23, 40, 50, channels), dtype, top)
    voxels = write_stack(tmp_path / "in", voxels, ext)
    (tmp_path / "in" / f"s_007{ext}").unlink()
    seen = np.delete(voxels, 7, axis=0)
    config = write_config(contrast=contrast, fill_value=77, **CHUNKS, **fields)
    done = zblocks("convert", config, "--memory", 180)
    assert done.code == 0, done.err
    low, high = contrast.get("range") or percentiles(seen, contrast["percentiles"])
    due = stretched(voxels, low, high, fields.get("dtype", dtype))
    due[7] = 77
    check(tmp_path, config, due)
    found = provenance(tmp_path)["contrast"]
    measured = 22 if "percentiles" in contrast else 0
    assert (found["low"], found["high"], found["measured"]) == (low, high, measured)


def test_inside_the_region_and_beside_the_canvas(tmp_path, write_config):
    """What isn't in the volume has no say: pixels outside the region, and what pads the canvas."""
    voxels = brightening((9, 40, 50, 1))
    voxels[:, 30:] = 60000
    write_stack(tmp_path / "in", voxels, ".tif")
    wishes = {"region": {"x": [2, 60], "y": [1, 30]}, "turn": 90}
    config = write_config(
        contrast={"percentiles": [1, 99]},
        dtype="uint8",
        canvas={"size": [64, 64], "align": "top-left", "fill": 3},
        **CHUNKS,
        **wishes,
    )
    done = zblocks("convert", config)
    assert done.code == 0, done.err
    due = np.full((9, 64, 64, 1), 3, np.uint8)
    marks = percentiles(voxels[:, 1:30, 2:], [1, 99])
    due[:, :40, :50] = stretched(voxels, *marks, "uint8")
    check(tmp_path, config, framed(due, **wishes))


def test_many_slices_are_sampled_and_said_so(tmp_path, write_config):
    voxels = write_stack(tmp_path / "in", brightening((70, 12, 14, 1)), ".png")
    config = write_config(contrast={"percentiles": [2, 98]}, dtype="uint8", **CHUNKS)
    assert zblocks("convert", config).code == 0
    found = provenance(tmp_path)["contrast"]
    chosen = voxels[[round(i * 69 / 31) for i in range(32)]]
    assert [found["low"], found["high"]] == percentiles(chosen, [2, 98])
    report = json.loads((tmp_path / "out/.zblocks/report.json").read_text())
    assert any("measured on 32 of 70 slices" in note for note in report["notes"])


def test_floats_become_whole_numbers(tmp_path, write_config):
    voxels = np.random.default_rng(1).normal(0, 1, (9, 40, 50, 1)).astype(np.float32)
    voxels[3, :5] = np.nan
    voxels[4, 0, :2, 0] = np.inf, -np.inf
    write_floats(tmp_path / "in", voxels)
    config = write_config(contrast={"percentiles": [1, 99]}, dtype="uint16", **CHUNKS)
    done = zblocks("convert", config)
    assert done.code == 0, done.err
    marks = percentiles(voxels[np.isfinite(voxels)], [1, 99])
    due = stretched(np.nan_to_num(voxels, nan=-9e9), *marks, "uint16")
    check(tmp_path, config, due)


@pytest.mark.parametrize(
    ("ext", "dtype", "wider"),
    [(".png", "uint8", "uint16"), (".jpg", "uint8", "float32"), (".tif", "uint16", "uint32")],
)
def test_wider_types_keep_every_value(tmp_path, write_config, ext, dtype, wider):
    voxels = write_stack(tmp_path / "in", textured((9, 40, 50, 1), dtype), ext)
    config = write_config(dtype=wider, scales=1, **CHUNKS)
    assert zblocks("convert", config).code == 0
    info, found = held(tmp_path / "out")
    assert info["data_type"] == wider
    np.testing.assert_array_equal(found[0], voxels.astype(wider))
    assert zblocks("verify", tmp_path / "out", "--source", config).code == 0


@pytest.mark.parametrize(
    ("ext", "dtype", "height", "memory_mb"),
    [(".jpg", "uint8", 4000, 230), (".tif", "uint16", 6000, 460)],
)
def test_in_strips_it_is_the_same(tmp_path, write_config, ext, dtype, height, memory_mb):
    y, x = np.ogrid[:height, :500]
    voxels = np.stack([(x // 7 + y // 5 + z) % 251 for z in range(24)]).astype(dtype)[..., None]
    voxels = write_stack(tmp_path / "in", voxels, ext)
    config = write_config(
        contrast={"percentiles": [1, 99]}, dtype="uint8", scales=2, compression="none"
    )
    done = zblocks("convert", config, "--workers", 1, "--memory", memory_mb, forked=False)
    assert done.code == 0, done.err
    plan = json.loads((tmp_path / "out/.zblocks/plan.json").read_text())
    report = json.loads((tmp_path / "out/.zblocks/report.json").read_text())
    assert plan["rows"] < height
    assert plan["block_grid"] == [1, 1, 1]
    assert report["peak_mb"] <= plan["predicted_peak_mb"] <= memory_mb
    marks = percentiles(voxels, [1, 99])
    np.testing.assert_array_equal(held(tmp_path / "out")[1][0], stretched(voxels, *marks, "uint8"))


def test_twelve_bits_are_noticed(tmp_path, write_config):
    """In the report, in provenance, and in the contrast that the link opens with."""
    voxels = textured((9, 40, 50, 1), "uint16") >> 4
    write_stack(tmp_path / "in", voxels)
    (tmp_path / "in" / "s_004.png").unlink()
    config = write_config(fill_value=65535, **CHUNKS)
    assert zblocks("convert", config).code == 0
    report = json.loads((tmp_path / "out/.zblocks/report.json").read_text())
    assert "values use 12 of 16 bits, up to 4095" in report["notes"]
    assert "values use 12 of 16 bits, up to 4095" in provenance(tmp_path)["notes"]
    state = json.loads(unquote(report["link"].split("#!")[1]))
    low, high = state["layers"][0]["shaderControls"]["normalized"]["range"]
    counted = np.delete(voxels, 4, axis=0)[:, ::8]  # the histograms look at every eighth row
    marks = percentiles(counted, [0.1, 99.9])
    assert abs(low - marks[0]) <= 16
    assert abs(high - marks[1]) <= 16


def test_it_resumes_and_a_new_contrast_is_refused(tmp_path, write_config):
    write_stack(tmp_path / "in", brightening((9, 40, 50, 1)), ".tif")
    fields = {"dtype": "uint8", **CHUNKS}
    assert zblocks("convert", write_config(contrast={"range": [0, 4000]}, **fields)).code == 0
    assert zblocks("convert", write_config(contrast={"range": [0, 4000]}, **fields)).code == 0
    other = zblocks("convert", write_config(contrast={"range": [10, 4000]}, **fields))
    assert other.code == 2
    assert "different volume (contrast 0 to 4000, now 10 to 4000)" in other.err


@pytest.mark.parametrize(
    ("dtype", "fields", "message"),
    [
        (
            "uint16",
            {"dtype": "uint8"},
            "dtype: uint8 can't hold every value of uint16 slices; give",
        ),
        ("uint16", {"encoding": "jpeg"}, 'use "raw", or "dtype": "uint8" with contrast'),
        ("float32", {"contrast": {"range": [0, 1]}}, "contrast can't be stretched to float32"),
        ("uint8", {"contrast": {"range": [1, 1]}}, "which has 1 where a number above 1 is needed"),
        ("uint8", {"contrast": {}}, "which needs either percentiles or range; give"),
        ("uint8", {"contrast": {"percentiles": [1, 101]}}, "contrast: found"),
        ("uint8", {"contrast": {"percentile": [1, 99]}}, "contrast: found"),
        ("uint8", {"contrast": {"range": [0, 9]}, "dtype": "uint32"}, "dtype: contrast makes"),
        (
            "uint8",
            {"contrast": {"range": [0, 9]}, "layer_type": "segmentation"},
            'contrast: is for images, but layer_type is "segmentation"',
        ),
        ("blank", {"contrast": {"percentiles": [1, 99]}}, "contrast: 1 % and 99 % are both 7 in"),
        (
            "uint16",
            {"canvas": {"fill": 70000}},
            "canvas: fill 70000 doesn't fit the volume's uint16",
        ),
    ],
)
def test_refusals(tmp_path, write_config, dtype, fields, message):
    voxels = np.full((3, 20, 30, 1), 7, "uint8" if dtype == "blank" else dtype)
    if dtype != "blank":
        voxels[0, 0, 0] = 1
    write_stack(tmp_path / "in", voxels, ".tif")
    done = zblocks("convert", write_config(**fields))
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "out").exists()
