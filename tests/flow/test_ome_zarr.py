"""OME-Zarr images, alone or beside precomputed volumes: every voxel and every position."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorstore
import zarr

from demo.browser import state_of
from tests.flow.conftest import textured, write_stack, zblocks
from tests.flow.inprocess import do_all, start
from tests.references import pyramid_of, read_cloudvolume, read_info
from zblocks.config import Config
from zblocks.conversion.bands import StoredScale
from zblocks.errors import SliceError
from zblocks.geometry import Vec
from zblocks.neuroglancer import viewer_link
from zblocks.run.finalize import finalize
from zblocks.run.job import open_job
from zblocks.run.start import Run
from zblocks.storage import open_store
from zblocks.view.contrast import read_viewed_volume

BOTH = ["precomputed", "ome-zarr"]
CASES = {
    "odd sizes and offset": ((37, 101, 133, 1), "uint8", {"voxel_offset": [-3, 5, 7]}),
    "smaller than a chunk": ((3, 5, 7, 1), "uint8", {}),
    "16 bits": ((20, 90, 70, 1), "uint16", {"voxel_offset": [1, -1, 3]}),
    "colour": ((20, 60, 70, 3), "uint8", {"voxel_offset": [-3, 5, 7]}),
    "32-bit float": ((20, 60, 70, 1), "uint16", {"dtype": "float32"}),
    "labels": ((20, 60, 70, 1), "uint16", {"layer_type": "segmentation", "scales": 3}),
    "zstd": ((20, 60, 70, 1), "uint16", {"compression": "zstd", "format": "ome-zarr"}),
    "uncompressed": ((20, 60, 70, 3), "uint8", {"compression": "none"}),
    "JPEG beside it": ((20, 60, 70, 1), "uint8", {"encoding": "jpeg"}),
}


def image_at(folder: Path) -> dict:
    """Return what the document of an image says of it."""
    return json.loads((folder / "zarr.json").read_bytes())["attributes"]["ome"]


def read_image(folder: Path) -> list[np.ndarray]:
    """Return the voxels (z, y, x, c) of every scale as zarr-python reads them, and tensorstore."""
    found = []
    for dataset in image_at(folder)["multiscales"][0]["datasets"]:
        path = folder / dataset["path"]
        voxels = zarr.open_array(path, mode="r")[:]
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
        other = tensorstore.open(spec, open=True).result().read().result()
        np.testing.assert_array_equal(voxels, other)
        found.append(voxels[..., None] if voxels.ndim == 3 else voxels.transpose(1, 2, 3, 0))
    return found


def info_of(folder: Path) -> dict:
    """Return an `info` with the scales of an image: their sizes, offsets and resolutions in nm."""
    multiscale = image_at(folder)["multiscales"][0]
    scales = []
    for dataset in multiscale["datasets"]:
        scale, translation = dataset["coordinateTransformations"]
        resolution = scale["scale"][:-4:-1]
        first = translation["translation"][:-4:-1]
        size = zarr.open_array(folder / dataset["path"], mode="r").shape[:-4:-1]
        offset = [round(t / r - 0.5) for t, r in zip(first, resolution, strict=True)]
        np.testing.assert_allclose(
            [(o + 0.5) * r for o, r in zip(offset, resolution, strict=True)], first
        )
        scales.append({"size": list(size), "voxel_offset": offset, "resolution": resolution})
    return {"scales": scales}


@pytest.mark.parametrize("sharding", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_every_voxel_of_every_scale(tmp_path, write_config, case, sharding):
    shape, dtype, fields = CASES[case]
    voxels = textured(shape, dtype)
    if fields.get("layer_type"):
        voxels = voxels // 9000
    voxels = write_stack(tmp_path / "in", voxels, ".tif")
    config = write_config(
        **{"sharding": sharding, "chunk_size": [16, 16, 8], "format": BOTH, **fields}
    )
    done = zblocks("convert", config)
    assert done.code == 0, done.err
    alone = fields.get("format") == "ome-zarr"
    folder = tmp_path / ("out" if alone else "out.ome.zarr")
    found = read_image(folder)
    info = info_of(folder)
    if alone:
        assert not (tmp_path / "out/info").exists()
    else:
        precomputed = read_info(tmp_path / "out")
        for ours, theirs in zip(info["scales"], precomputed["scales"], strict=True):
            assert ours == {name: theirs[name] for name in ours}
        if fields.get("encoding") != "jpeg":
            expected = read_cloudvolume(f"precomputed://file://{tmp_path}/out", precomputed)
            for ours, due in zip(found, expected, strict=True):
                np.testing.assert_array_equal(ours, due)
    if not fields.get("layer_type") and "dtype" not in fields:
        due = pyramid_of(voxels, info)
        for ours, expected in zip(found, due, strict=True):
            np.testing.assert_array_equal(ours, expected)
    np.testing.assert_array_equal(found[0], voxels)


def test_a_chunk_is_the_same_bytes_in_both(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((16, 60, 70, 3), "uint8"))
    config = write_config(sharding=False, chunk_size=[16, 16, 8], format=BOTH)
    assert zblocks("convert", config).code == 0
    key = read_info(tmp_path / "out")["scales"][0]["key"]
    ours = (tmp_path / f"out/{key}/16-32_32-48_8-16.gz").read_bytes()
    assert (tmp_path / "out.ome.zarr/0/c/0/1/2/1").read_bytes() == ours


def test_the_document_says_where_and_how_it_is_seen(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((20, 60, 70, 1), "uint16"), ".tif")
    config = write_config(voxel_resolution=[4, 4, 40], voxel_offset=[1, 2, 3], format="ome-zarr")
    assert zblocks("convert", config).code == 0
    document = json.loads((tmp_path / "out/zarr.json").read_bytes())
    assert document["attributes"]["zblocks"]["provenance"] == "provenance"
    image = document["attributes"]["ome"]
    assert image["version"] == "0.5"
    (multiscale,) = image["multiscales"]
    assert [(a["name"], a["type"], a["unit"]) for a in multiscale["axes"]] == [
        (name, "space", "nanometer") for name in "zyx"
    ]
    first = multiscale["datasets"][0]["coordinateTransformations"]
    assert first[0] == {"type": "scale", "scale": [40.0, 4.0, 4.0]}
    assert first[1] == {"type": "translation", "translation": [140.0, 10.0, 6.0]}
    (channel,) = image["omero"]["channels"]
    report = json.loads((tmp_path / "out/.zblocks/report.json").read_bytes())
    window = channel["window"]
    assert [window["start"], window["end"]] == report["contrast"]
    assert (window["min"], window["max"], channel["color"]) == (0, 65535, "FFFFFF")
    assert "%7Czarr3%3A" in report["link"]


def test_labels_are_labels(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((8, 60, 70, 1), "uint16") // 9000, ".tif")
    config = write_config(layer_type="segmentation", format="ome-zarr")
    assert zblocks("convert", config).code == 0
    image = image_at(tmp_path / "out")
    assert image["image-label"] == {}
    assert "omero" not in image


def test_missing_slices_are_holes_in_both(tmp_path, write_config):
    voxels = write_stack(tmp_path / "in", textured((40, 50, 60, 1), "uint8"))
    for z in range(8, 24):
        (tmp_path / f"in/s_{z:03}.png").unlink()
    config = write_config(
        sharding=True, chunk_size=[16, 16, 8], format=BOTH, missing="hole", scales=2,
        filter={"regex": r"s_(?P<z>\d+)\.png"},
    )  # fmt: skip
    done = zblocks("convert", config)
    assert done.code == 0, done.err
    voxels[8:24] = 0
    np.testing.assert_array_equal(read_image(tmp_path / "out.ome.zarr")[0], voxels)
    assert zblocks("convert", config).code == 0


def test_a_block_that_fails_is_a_hole_in_both(tmp_path, write_config):
    voxels = write_stack(tmp_path / "in", textured((150, 30, 40, 1), "uint8"))
    damaged = tmp_path / "in/s_070.png"
    damaged.write_bytes(damaged.read_bytes()[:500])
    fields = {"format": BOTH, "chunk_size": [16, 16, 64], "voxel_resolution": [1, 1, 1]}
    done = zblocks("convert", write_config(**fields, allow_partial=True, damaged="error"))
    assert "PARTIAL" in done.out, done.err
    voxels[64:128] = 0
    np.testing.assert_array_equal(read_image(tmp_path / "out.ome.zarr")[0], voxels)
    assert not zblocks("verify", tmp_path / "out.ome.zarr").code


@pytest.mark.parametrize("formats", ["ome-zarr", BOTH])
def test_whole_or_not_at_all(tmp_path, write_config, formats):
    """Without a block there is no root document, then only what is missing is converted."""
    write_stack(tmp_path / "in", textured((40, 50, 60, 1), "uint8"))
    config = Config.load(write_config(chunk_size=[16, 16, 8], format=formats, sharding=False))
    started = start(config)
    roots = [(started.plan.outputs[n].suffix, started.plan.outputs[n].root)
             for n in range(len(started.plan.outputs))]  # fmt: skip
    job = open_job(config.destination)
    do_all(job, started.pending)
    folder = Path(f"{tmp_path}/out{roots[-1][0]}")
    (lost,) = (folder / "0/c").rglob("0/1/1")
    lost.unlink()
    with pytest.raises(Exception, match=r"0/c/0/1/1"):
        finalize(job, Run())
    assert not any(Path(f"{tmp_path}/out{s}/{key}").exists() for s, key in roots)
    stray = folder / "0/c/9/9/9"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(b"stray")
    again = start(config)
    assert again.pending
    do_all(open_job(config.destination), again.pending)
    finalize(open_job(config.destination), Run())
    assert all(Path(f"{tmp_path}/out{s}/{key}").exists() for s, key in roots)
    assert not stray.exists()
    read_image(folder)
    assert not start(config).pending


def test_a_replaced_format_leaves_nothing(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((20, 50, 60, 1), "uint8"))
    assert zblocks("convert", write_config(format=BOTH)).code == 0
    refused = zblocks("convert", write_config(format="precomputed"))
    assert refused.code != 0
    assert "format precomputed and ome-zarr, now precomputed" in refused.err
    assert zblocks("convert", write_config(format="precomputed", overwrite=True)).code == 0
    assert not [p for p in (tmp_path / "out.ome.zarr").rglob("*") if p.is_file()]
    done = zblocks("convert", write_config(format="ome-zarr", overwrite=True))
    assert done.code == 0, done.err
    assert not (tmp_path / "out/info").exists()
    read_image(tmp_path / "out")


def test_what_others_wrote_beside_it_is_kept(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((20, 50, 60, 1), "uint8"))
    other = tmp_path / "out.ome.zarr/zarr.json"
    other.parent.mkdir()
    other.write_text('{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    refused = zblocks("convert", write_config(format=BOTH))
    assert refused.code != 0
    assert ".ome.zarr/zarr.json, which zblocks did not write" in refused.err
    assert json.loads(other.read_text())["attributes"] == {}
    assert zblocks("convert", write_config(format=BOTH, overwrite=True)).code == 0
    read_image(other.parent)


def test_the_place_beside_it_is_not_shared(tmp_path, write_config):
    """Neither with a run that has just begun there, nor with a finished image."""
    write_stack(tmp_path / "in", textured((8, 50, 60, 1), "uint8"))
    beside = f"file://{tmp_path}/out.ome.zarr"
    start(Config.load(write_config(format="ome-zarr", destination=beside)))
    assert ".ome.zarr/.zblocks" in zblocks("convert", write_config(format=BOTH)).err
    shutil.rmtree(tmp_path / "out.ome.zarr")
    assert zblocks("convert", write_config(format=BOTH)).code == 0
    alone = zblocks("convert", write_config(format="ome-zarr", destination=beside))
    assert "which zblocks did not write" in alone.err


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"format": "zarr"}, "format: found"),
        ({"format": []}, "format: found"),
        ({"format": ["ome-zarr", "ome-zarr"]}, "names one twice"),
        ({"format": BOTH, "compression": "zstd"}, 'is for format "ome-zarr"'),
        ({"format": "ome-zarr", "compression": "br"}, 'OME-Zarr has no "br"'),
        ({"format": "ome-zarr", "encoding": "jpeg"}, "is for precomputed volumes"),
        ({"format": BOTH, "destination": "s3://volumes"}, "a whole bucket"),
    ],
)
def test_what_does_not_go_together_is_refused(tmp_path, write_config, fields, said):
    write_stack(tmp_path / "in", textured((8, 20, 30, 1), "uint8"))
    done = zblocks("plan", write_config(**fields))
    assert done.code == 2, done.out
    assert said in done.err


@pytest.mark.parametrize("channels", [1, 3])
def test_view_links_to_an_image(tmp_path, write_config, channels):
    write_stack(tmp_path / "in", textured((20, 50, 60, channels), "uint16"), ".tif")
    assert zblocks("convert", write_config(format=BOTH, voxel_offset=[-3, 5, 7])).code == 0
    shown = [read_viewed_volume(open_store(f"file://{tmp_path}/out{s}")) for s in ("", ".ome.zarr")]
    assert replace(shown[1], zarr=0) == shown[0]
    links = json.loads((tmp_path / "out/.zblocks/report.json").read_bytes())["links"]
    assert list(links) == BOTH
    for viewed, link in zip(shown, links.values(), strict=True):
        (layer,) = state_of(viewer_link(viewed, "s3://volumes/v"))["layers"]
        (reported,) = state_of(link)["layers"]
        source = layer["source"] if isinstance(layer["source"], str) else layer["source"]["url"]
        assert source == (
            "s3://volumes/v/|zarr3:" if viewed.zarr else "precomputed://s3://volumes/v"
        )
        assert reported["shader"] == layer["shader"]
        assert reported["shaderControls"] == layer["shaderControls"]


def test_both_are_uploaded(tmp_path, write_config, cloud):
    voxels = write_stack(tmp_path / "in", textured((20, 50, 60, 1), "uint8"))
    assert zblocks("convert", write_config(format=BOTH)).code == 0
    done = zblocks("upload", tmp_path / "out", "s3://volumes/v")
    assert done.code == 0, done.err
    assert "v/info" in cloud.keys("volumes")
    for key in cloud.keys("volumes"):
        if key.startswith("v.ome.zarr/"):
            path = tmp_path / "back" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cloud.s3.get_object(Bucket="volumes", Key=key)["Body"].read())
    np.testing.assert_array_equal(read_image(tmp_path / "back/v.ome.zarr")[0], voxels)
    assert not zblocks("verify", "s3://volumes/v.ome.zarr").code


def test_plan_shows_both(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((20, 50, 60, 1), "uint8"))
    alone = zblocks("plan", write_config(), "--json").json
    both = zblocks("plan", write_config(format=BOTH), "--json").json
    assert [row["format"] for row in both["scales"]] == sorted(
        BOTH * len(alone["scales"]), reverse=True
    )
    assert both["volume"]["formats"] == BOTH
    said = zblocks("plan", write_config(format=BOTH)).out
    assert f"{tmp_path}/out and file://{tmp_path}/out.ome.zarr" in said


def test_the_link_of_an_image_in_a_bucket(tmp_path, write_config, cloud):
    write_stack(tmp_path / "in", textured((20, 50, 60, 1), "uint8"))
    config = write_config(format=BOTH, destination="s3://volumes/v")
    done = zblocks("convert", config)
    assert done.code == 0, done.err
    said = zblocks("view", "s3://volumes/v.ome.zarr", "--link")
    assert said.code == 0, said.err
    (layer,) = state_of(said.out.strip())["layers"]
    assert layer["source"].endswith("v.ome.zarr/|zarr3:")
    missing = zblocks("view", "s3://volumes/none.ome.zarr", "--link")
    assert missing.code == 2
    assert "not found" in missing.err


@pytest.mark.parametrize(("sharding", "named"), [(False, "0/c/0/1/1:"), (True, "0/c/0/0/0 chunk ")])
def test_a_damaged_object_is_named(tmp_path, write_config, sharding, named):
    write_stack(tmp_path / "in", textured((8, 50, 60, 1), "uint8"))
    config = write_config(format="ome-zarr", sharding=sharding, chunk_size=[16, 16, 8])
    assert zblocks("convert", config).code == 0
    job = open_job(f"file://{tmp_path}/out")
    path = tmp_path / "out" / named.split(" ")[0].rstrip(":")
    path.write_bytes(bytes(path.stat().st_size))
    scale = job.plan.scales[0]
    with pytest.raises(SliceError, match=re.escape(f"/out/{named}")):
        StoredScale(job.plan, job.target, scale).read(scale.chunk_box(Vec(1, 1, 0)))
