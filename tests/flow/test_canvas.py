"""Slices of different sizes on one canvas: padded and cropped, whole and in strips."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.flow.conftest import textured, write_slice, zblocks
from tests.references import read_info, read_tensorstore

SIZES = [(40, 60), (41, 60), (40, 33), (7, 5), (55, 71), (40, 60)]
"""Height and width of each slice."""


def write_odd(folder, ext, channels=1, dtype="uint8"):
    folder.mkdir()
    planes = []
    for z, (height, width) in enumerate(SIZES):
        plane = textured((1, height, width, channels), dtype, seed=z)[0]
        write_slice(folder / f"s_{z:03d}{ext}", plane)
        planes.append(plane)
    return planes


def on_canvas(planes, size, align, fill):
    """Put planes on a canvas voxel by voxel; size is (height, width)."""
    out = np.full((len(planes), *size, planes[0].shape[2]), fill, planes[0].dtype)
    for z, plane in enumerate(planes):
        top, left = ((size[i] - plane.shape[i]) // 2 if align == "center" else 0 for i in (0, 1))
        for y in range(plane.shape[0]):
            for x in range(plane.shape[1]):
                if 0 <= y + top < size[0] and 0 <= x + left < size[1]:
                    out[z, y + top, x + left] = plane[y, x]
    return out


@pytest.mark.parametrize("align", ["center", "top-left"])
@pytest.mark.parametrize("size", ["max", [64, 44], [31, 90]])
@pytest.mark.parametrize(("ext", "channels"), [(".png", 1), (".tif", 3)])
def test_they_are_padded_and_cropped(tmp_path, write_config, ext, channels, size, align):
    planes = write_odd(tmp_path / "in", ext, channels)
    canvas = {"size": size, "align": align, "fill": 200}
    assert zblocks("convert", write_config(canvas=canvas, compression="none")).code == 0
    due = on_canvas(planes, (55, 71) if size == "max" else size[::-1], align, 200)
    info = read_info(tmp_path / "out")
    assert info["scales"][0]["size"] == [due.shape[2], due.shape[1], len(SIZES)]
    found = read_tensorstore({"driver": "file", "path": f"{tmp_path}/out/"}, info)
    np.testing.assert_array_equal(found[0], due)
    report = json.loads((tmp_path / "out/.zblocks/report.json").read_text())
    assert "slices put on a canvas" in report["notes"][-1]


@pytest.mark.parametrize("ext", [".jpg", ".png"])
def test_in_strips_it_is_the_same(tmp_path, write_config, ext):
    """Slices too large to be held whole, one of them larger than the canvas."""
    (tmp_path / "in").mkdir()
    shapes = [(1500, 2000), (1400, 2100), (1500, 2000), (1600, 1900)] * 8
    for z, (height, width) in enumerate(shapes):
        y, x = np.ogrid[:height, :width]
        plane = ((x // 7 + y // 5 + z) % 251).astype(np.uint8)[..., None]
        write_slice(tmp_path / "in" / f"s_{z:03d}{ext}", plane)
    fields = {"canvas": {"size": [2000, 1500], "fill": 9}, "scales": 2}
    whole = write_config(destination=f"file://{tmp_path}/whole", **fields)
    assert zblocks("convert", whole, "--workers", 1).code == 0
    strips = write_config(destination=f"file://{tmp_path}/strips", **fields)
    assert zblocks("convert", strips, "--workers", 1, "--memory", 250, forked=False).code == 0
    plan = json.loads((tmp_path / "strips/.zblocks/plan.json").read_text())
    assert plan["rows"] < 1500
    report = json.loads((tmp_path / "strips/.zblocks/report.json").read_text())
    assert report["peak_mb"] <= plan["predicted_peak_mb"]
    assert zblocks("verify", tmp_path / "strips", "--source", whole).code == 0


def test_without_a_canvas_they_are_refused_and_named(tmp_path, write_config):
    write_odd(tmp_path / "in", ".png")
    done = zblocks("convert", write_config())
    assert done.code == 2
    assert "s_003.png: 5×7" in done.err
    assert '"canvas" to pad or crop' in done.err


def test_a_canvas_does_not_mix_types(tmp_path, write_config):
    write_odd(tmp_path / "in", ".png")
    write_slice(tmp_path / "in" / "s_009.png", textured((1, 9, 9, 3), "uint8")[0])
    done = zblocks("convert", write_config(canvas={}))
    assert done.code == 2
    assert "s_009.png: " in done.err
    assert "RGB" in done.err


def test_another_canvas_is_another_volume_although_its_region_has_the_same_size(
    tmp_path, write_config
):
    write_odd(tmp_path / "in", ".png")
    region = {"x": [0, 40], "y": [0, 30]}
    first = write_config(canvas={"size": [64, 44]}, region=region)
    assert zblocks("convert", first).code == 0
    other = zblocks("convert", write_config(canvas={"size": [70, 50]}, region=region))
    assert other.code == 2
    assert "different volume (canvas " in other.err
