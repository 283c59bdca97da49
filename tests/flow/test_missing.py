"""Missing slices filled, made of their neighbours, or left out: every voxel of every scale."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.core.test_labels import modes
from tests.flow.conftest import textured, write_slice, zblocks
from tests.references import means, pyramid_without, read_cloudvolume, read_info, read_tensorstore

GONE = {0, 1, 20, 30, 31, 32, 50, *range(56, 131), 145, 147, 148, 149}
"""Both ends, single ones, runs across the borders of chunks and blocks, a whole block (64–128)."""
DEPTH, Z0 = 150, 7
FIELDS = {"voxel_resolution": [4, 4, 4], "voxel_offset": [-3, 5, Z0], "chunk_size": [8, 8, 8]}


def write(tmp_path, voxels, gone=GONE):
    """Write the slices that there are; return the list: placeholders, gaps and names not found."""
    (tmp_path / "in").mkdir()
    lines = []
    for z, plane in enumerate(voxels):
        if z not in gone:
            write_slice(tmp_path / f"in/s_{z:03d}.tif", plane)
        elif z % 3 == 0 and 0 < z < len(voxels) - 1:
            continue
        name = "Placeholder" if z in gone and z % 3 == 1 else f"s_{z:03d}"
        lines.append(f"{name} {z + 12}")
    return lines


def stand_in(voxels, how, fill, gone=GONE):
    """Return scale 0, the missing slices made one by one."""
    out, there = voxels.copy(), [z for z in range(len(voxels)) if z not in gone]
    for z in gone:
        near = min(there, key=lambda p: (abs(p - z), p))
        below, above = [p for p in there if p < z], [p for p in there if p > z]
        if how in ("fill", "hole"):
            out[z] = fill
        elif how == "nearest" or not (below and above):
            out[z] = voxels[near]
        else:
            a, b = below[-1], above[0]
            low, high = voxels[a].astype(float), voxels[b].astype(float)
            out[z] = np.rint((low * (b - z) + high * (z - a)) / (b - a))
    return out


def labelled(shape, dtype):
    """Return labels in patches, 0 among them."""
    return (textured(shape, "uint8") // 50 * 3).astype(dtype)


def assert_sound(tmp_path, config, holes):
    alone = zblocks("verify", tmp_path / "out", "--json")
    assert (alone.code, alone.json["counts"]) == (0, {}), alone.json["problems"]
    assert ("declared holes" in alone.json["checked"]) == holes
    assert alone.json["checked"]["voxels compared with the finer scale"] > 0
    compared = zblocks("verify", tmp_path / "out", "--source", config, "--json")
    assert (compared.code, compared.json["counts"]) == (0, {}), compared.json["problems"]


CASES = [
    # missing, counted in means, fill, sharded, layer
    ("fill", True, 77, False, "image"),
    ("fill", False, 77, True, "image"),
    ("nearest", True, 0, True, "image"),
    ("interpolate", True, 0, False, "image"),
    ("hole", True, 0, False, "image"),
    ("hole", True, 0, True, "image"),
    ("fill", False, 9, False, "segmentation"),
    ("nearest", True, 0, False, "segmentation"),
    ("hole", True, 0, True, "segmentation"),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_voxel_of_every_scale(tmp_path, write_config, case):
    how, counted, fill, sharding, layer = case
    labels = layer == "segmentation"
    shape = (DEPTH, 11, 18, 1)
    voxels = labelled(shape, "uint16") if labels else textured(shape, "uint8")
    fields = {"missing": how, "missing_in_means": counted, "fill_value": fill, **FIELDS}
    lines = write(tmp_path, voxels)
    fields |= {"layer_type": layer, "sharding": sharding, "compression": "none"}
    config = write_config(sorted_filename=lines, **fields)
    done = zblocks("convert", config, "--memory", 1000)
    assert done.code == 0, done.err
    info, holes = read_info(tmp_path / "out"), how == "hole"
    scale0 = stand_in(voxels, how, fill)
    kept_out = set() if counted and not holes else {Z0 + z for z in GONE}
    pooled = partial(modes, sparse=False) if labels else means
    expected = pyramid_without(scale0, info, kept_out, pooled)
    place = {"driver": "file", "path": f"{tmp_path}/out/"}
    for found in (
        read_tensorstore(place, info, fill_missing=holes),
        read_cloudvolume(f"precomputed://file://{tmp_path}/out", info, fill_missing=holes),
    ):
        for scale, (ours, due) in enumerate(zip(found, expected, strict=True)):
            np.testing.assert_array_equal(ours, due, err_msg=f"scale {scale}")
    assert_sound(tmp_path, config, holes)
    filled = json.loads((tmp_path / "out/provenance").read_text())["filled_slices"]
    assert [f["z"] for f in filled] == [Z0 + z for z in sorted(GONE)]
    said = {"fill": f"fill {fill}", "nearest": f"nearest z {Z0 + 19}", "hole": "hole"}
    words = said.get(how, f"between z {Z0 + 19} and z {Z0 + 21}")
    assert f"filled z {Z0 + 20}: s_020 (not found): {words}\n" in done.out
    assert filled[2]["how"] == words
    assert filled[2].get("in_means", True) == (not kept_out)


def convert_with_holes(tmp_path, write_config, **fields):
    voxels = textured((DEPTH, 11, 18, 1), "uint8")
    lines = write(tmp_path, voxels)
    config = write_config(sorted_filename=lines, missing="hole", **FIELDS, **fields)
    done = zblocks("convert", config, "--memory", 1000)
    assert done.code == 0, done.err
    return config


def test_holes_are_declared_and_nothing_else_may_be_absent(tmp_path, write_config):
    config = convert_with_holes(tmp_path, write_config)
    out = tmp_path / "out"
    holes = json.loads((out / "provenance").read_text())["holes"]
    assert holes == json.loads((out / ".zblocks/report.json").read_text())["holes"]
    assert [h["box"] for h in holes if h["scale"] == "4_4_4"] == ["-3-15_5-16_63-135"]
    assert not list(out.glob("4_4_4/*_71-79*")), "chunks of missing slices only"
    assert list(out.glob("4_4_4/*_135-143*")), "chunks with some slices"
    (empty,) = [
        r
        for r in map(json.loads, map(Path.read_text, out.glob(".zblocks/receipts/*.json")))
        if not r["objects"]
    ]
    assert empty["task"] == "block-00001"
    times = {p: p.stat().st_mtime_ns for p in out.glob("*_*_*/*")}
    assert zblocks("convert", config, "--memory", 1000).code == 0
    assert times == {p: p.stat().st_mtime_ns for p in out.glob("*_*_*/*")}, "done again"
    next(out.glob("4_4_4/*_135-143*")).unlink()
    lost = zblocks("verify", out, "--json")
    assert lost.code == 1
    assert lost.json["counts"]["missing-chunk"] == 1
    assert zblocks("convert", config, "--memory", 1000).code == 0
    assert zblocks("verify", out).code == 0


@pytest.mark.parametrize("missing", ["hole", "fill"])
def test_a_volume_without_its_plan_tells_enough(tmp_path, write_config, missing):
    """As when only the volume was copied on: provenance says what was kept out of means."""
    lines = write(tmp_path, textured((DEPTH, 11, 18, 1), "uint8"))
    how = {"missing": missing, "missing_in_means": missing == "hole"}
    assert zblocks("convert", write_config(sorted_filename=lines, **how, **FIELDS)).code == 0
    shutil.rmtree(tmp_path / "out/.zblocks")
    found = zblocks("verify", tmp_path / "out", "--json")
    assert (found.code, found.json["counts"]) == (0, {})
    assert found.json["checked"]["voxels compared with the finer scale"] > 0


def test_scales_that_are_made_from_stored_ones_read_holes_as_such(tmp_path, write_config):
    """Coarser tasks than blocks, sharded and at an odd place."""
    config = convert_with_holes(tmp_path, write_config, sharding=True)
    plan = json.loads((tmp_path / "out/.zblocks/plan.json").read_text())
    assert plan["coarse_stages"]
    receipts = [json.loads(p.read_text()) for p in (tmp_path / "out/.zblocks/receipts").iterdir()]
    assert not any(r["partial"] for r in receipts)
    assert_sound(tmp_path, config, holes=True)


@pytest.mark.parametrize("missing", ["nearest", "interpolate"])
def test_a_neighbour_that_changes_is_named(tmp_path, write_config, missing):
    voxels = textured((140, 11, 18, 1), "uint8")
    lines = write(tmp_path, voxels, gone={63, 64, 65})
    bad, neighbour = tmp_path / "in/s_100.tif", tmp_path / "in/s_062.tif"
    good = bad.read_bytes()
    Image.fromarray(voxels[100, ..., 0]).save(bad, compression="tiff_deflate")
    packed = bytearray(bad.read_bytes())
    at = packed.index(b"\x78")  # where deflate begins: only decoding tells that it is spoilt
    packed[at + 20 : at + 60] = bytes(40)
    bad.write_bytes(packed)
    config = write_config(sorted_filename=lines, missing=missing, compression="none", **FIELDS)
    assert zblocks("convert", config, "--memory", 1000).code == 1
    bad.write_bytes(good)
    write_slice(neighbour, voxels[0])
    again = zblocks("convert", config, "--memory", 1000)
    assert again.code == 2
    assert "SourceChanged" in again.err
    assert "s_062.tif (z 69), " in again.err.replace("\n", ", ")
    other = " and s_066.tif" if missing == "interpolate" else ""
    assert f"s_062.tif{other} (z 70)" in again.err
    config = write_config(
        sorted_filename=lines, missing=missing, overwrite=True, compression="none", **FIELDS
    )
    assert zblocks("convert", config, "--memory", 1000).code == 0
    voxels[62] = voxels[0]
    info = read_info(tmp_path / "out")
    found = read_tensorstore({"driver": "file", "path": f"{tmp_path}/out/"}, info)
    np.testing.assert_array_equal(found[0], stand_in(voxels, missing, 0, {63, 64, 65}))


def test_in_strips_and_on_a_canvas(tmp_path, write_config):
    """Slices too large to be held whole: the same, within the memory that was planned for."""
    (tmp_path / "in").mkdir()
    gone = {3, *range(10, 22)}
    for z in set(range(28)) - gone:
        y, x = np.ogrid[: 1500 + z % 2, :2000]
        plane = ((x // 7 + y // 5 + z * 9) % 251).astype(np.uint8)[..., None]
        write_slice(tmp_path / f"in/s_{z:03d}.jpg", plane)
    fields = {"canvas": {"size": [2000, 1500], "fill": 9}, "scales": 2, "missing": "interpolate"}
    fields["compression"] = "none"
    whole = write_config(destination=f"file://{tmp_path}/whole", **fields)
    assert zblocks("convert", whole, "--workers", 1).code == 0
    strips = write_config(destination=f"file://{tmp_path}/strips", **fields)
    assert zblocks("convert", strips, "--workers", 1, "--memory", 285, forked=False).code == 0
    plan = json.loads((tmp_path / "strips/.zblocks/plan.json").read_text())
    assert plan["rows"] < 1500
    report = json.loads((tmp_path / "strips/.zblocks/report.json").read_text())
    assert report["peak_mb"] <= plan["predicted_peak_mb"]
    assert zblocks("verify", tmp_path / "strips", "--source", whole).code == 0
    info = read_info(tmp_path / "whole")
    first, second = (
        read_tensorstore({"driver": "file", "path": f"{tmp_path}/{name}/"}, info)[0]
        for name in ("whole", "strips")
    )
    np.testing.assert_array_equal(first, second)
    near, far = first[9].astype(float), first[22].astype(float)
    np.testing.assert_array_equal(first[14], np.rint((near * 8 + far * 5) / 13))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"missing": "interpolate", "layer_type": "segmentation"}, "missing: "),
        ({"missing": "hole", "fill_value": 1}, "fill_value: found 1"),
        ({"missing": "nearest", "missing_in_means": False}, "missing_in_means: "),
        ({"missing": "guess"}, "missing: found"),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(write_config, fields, words):
    done = zblocks("convert", write_config(**fields))
    assert done.code == 2
    assert words in done.err
