"""Volumes that are odd and legal pass; what can't be checked is said, and isn't taken for sound."""

from __future__ import annotations

import json
import shutil
import tracemalloc

import numpy as np
import pytest
import zstandard
from PIL import Image

from tests.flow.conftest import textured, write_stack, zblocks
from tests.flow.test_verify import SHAPE, assert_sound, sharding, verify, write_tensorstore
from zblocks.precomputed.segment_properties import SegmentName, build_segment_properties

KEY = "4_4_40"


def voxels(dtype="uint8", channels=1):
    """Return (x, y, z, c)."""
    whole = textured((*SHAPE, channels), "uint8").transpose(2, 1, 0, 3)
    return (whole.astype(np.int64) - 100 * (dtype[0] == "i")).astype(dtype)


def change(volume, **fields):
    """Change fields of `info`, those that start with `scale_` in its first scale."""
    document = json.loads((volume / "info").read_text())
    for name, value in fields.items():
        if name.startswith("scale_"):
            document["scales"][0][name.removeprefix("scale_")] = value
        else:
            document[name] = value
    (volume / "info").write_text(json.dumps(document))
    return document


BITS = {"preshift_bits": 3, "minishard_bits": 3, "shard_bits": 2}
WRITTEN = {
    "int8": ("int8", 1, {}),
    "int16, shards, below 0": (
        "int16", 1, {"voxel_offset": [-30, -7, -100], **sharding("identity", 1)},
    ),
    "int32": ("int32", 1, {}),
    "4 channels of PNG": ("uint8", 4, {"encoding": "png"}),
    "2 channels of PNG of 16 bits": ("uint16", 2, {"encoding": "png"}),
    "5 channels, raw": ("uint8", 5, {}),
    "murmurhash with many bits": (
        "uint8", 1,
        {"sharding": {**sharding("murmurhash3_x86_128", 3)["sharding"], **BITS}},
    ),
    "fewer bits than ids have": (
        "uint8", 1,
        {"sharding": {**sharding("identity", 1)["sharding"], "preshift_bits": 0, "shard_bits": 1}},
    ),
    "one shard of everything": (
        "uint8", 1,
        {"sharding": {**sharding("identity", 0)["sharding"], "preshift_bits": 9, "shard_bits": 0}},
    ),
    "JPEG in shards, gzipped": ("uint8", 1, {"encoding": "jpeg", **sharding("identity", 1)}),
    "JPEG in shards": ("uint8", 3, {"encoding": "jpeg", **sharding("identity", 1, "raw")}),
    "a key with ..": ("uint8", 1, {"key": "a/../b/c"}),
    "a deep key": ("uint8", 1, {"key": "a/b/c"}),
    "chunks larger than the volume": ("uint8", 1, {"chunk_size": [64, 64, 64]}),
    "a resolution of fractions": ("uint8", 1, {"resolution": [0.5, 4.25, 40.125]}),
    "a voxel": ("uint8", 1, {"size": [1, 1, 1]}),
    "far away": ("uint8", 1, {"voxel_offset": [2**31 - 100, -(2**31), 0]}),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_what_tensorstore_writes_is_sound(tmp_path, name):
    dtype, channels, fields = WRITTEN[name]
    data = voxels(dtype, channels)
    size = fields.get("size", data.shape[:3])
    data = data[: size[0], : size[1], : size[2]] + (fields.get("size") is not None)
    write_tensorstore(tmp_path / "v", data.astype(dtype), **fields)
    found = assert_sound(tmp_path / "v")
    assert found["checked"]["voxels"] == np.prod(size)


SAID = {
    "whole numbers as fractions": {
        "scale_size": [53.0, 41.0, 37.0], "scale_resolution": [4.0, 4.0, 40.0],
    },
    "upper case": {"type": "IMAGE", "data_type": "UINT8", "scale_encoding": "RAW"},
    "its @type": {"@type": "neuroglancer_multiscale_volume"},
    "fields of others": {"mip": 3, "scale_locked": True, "owner": {"a": []}},
    "not hidden": {"scale_hidden": False},
    "no mesh": {"mesh": None},
    "a key with a slash": {"scale_key": "./4_4_40/"},
    "shallower words for chunks": {"scale_chunk_sizes": [[16, 16, 8], [16, 16, 8]]},
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_what_info_may_say_is_sound(tmp_path, name):
    write_tensorstore(tmp_path / "v", voxels())
    change(tmp_path / "v", **SAID[name])
    assert_sound(tmp_path / "v")


def test_a_hidden_scale_and_a_scale_in_anothers_folder_are_checked(tmp_path):
    volume = tmp_path / "v"
    write_tensorstore(volume, voxels(), key="a")
    write_tensorstore(tmp_path / "w", voxels()[:27, :21], key="a/b", resolution=[8, 8, 40])
    shutil.copytree(tmp_path / "w" / "a" / "b", volume / "a" / "b")
    extra = json.loads((tmp_path / "w" / "info").read_text())["scales"]
    document = json.loads((volume / "info").read_text())
    change(volume, scales=[*document["scales"], {**extra[0], "hidden": True}])
    assert_sound(volume)
    min((volume / "a" / "b").iterdir()).unlink()
    code, found = verify(volume)
    assert (code, found["counts"]) == (1, {"missing-chunk": 1})


def test_fields_of_labels_and_more_scales_of_others_are_no_difference(tmp_path, write_config):
    voxels_of = (textured((*SHAPE, 1), "uint8") // 32).astype(np.uint8)
    write_stack(tmp_path / "in", voxels_of)
    fields = {"layer_type": "segmentation", "scales": 1, "chunk_size": [16, 16, 8]}
    config = write_config(voxel_resolution=[4, 4, 40], **fields)
    assert zblocks("convert", config).code == 0
    change(tmp_path / "out", mesh="mesh", skeletons="bones", segment_properties="props")
    (tmp_path / "out" / "props").mkdir()
    names = build_segment_properties([SegmentName(7, "thalamus")])
    (tmp_path / "out" / "props" / "info").write_bytes(names)
    found = assert_sound(tmp_path / "out", "--source", config)
    assert not any("mesh" in note for note in found["notes"])


def test_zstd_is_undone(tmp_path):
    volume = tmp_path / "v"
    write_tensorstore(volume, voxels())
    for path in (volume / KEY).iterdir():
        path.with_name(path.name + ".zstd").write_bytes(zstandard.compress(path.read_bytes()))
        path.unlink()
    assert_sound(volume)


def test_without_a_decoder_it_could_not_be_checked(tmp_path, monkeypatch):
    import brotli

    volume = tmp_path / "v"
    write_tensorstore(volume, voxels())
    for path in (volume / KEY).iterdir():
        path.with_name(path.name + ".br").write_bytes(brotli.compress(path.read_bytes()))
        path.unlink()
    monkeypatch.setitem(__import__("sys").modules, "brotli", None)
    code, found = verify(volume)
    assert (code, found["sound"], found["problems"]) == (2, False, [])
    assert "install its decoder" in found["could_not_check"][0]
    (volume / KEY / "junk").write_bytes(b"")
    code, found = verify(volume)
    assert (code, list(found["counts"])) == (1, ["stray-object"])


def test_jpeg_xl_could_not_be_checked(tmp_path, monkeypatch):
    write_tensorstore(tmp_path / "v", voxels())
    change(tmp_path / "v", scale_encoding="jxl")
    monkeypatch.setitem(__import__("sys").modules, "imagecodecs", None)
    code, found = verify(tmp_path / "v")
    assert (code, found["problems"]) == (2, [])
    assert "jxl (pip install 'zblocks[jxl]') can't be decoded" in found["could_not_check"][0]


def test_slices_that_cannot_be_read_leave_the_rest_checked(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((*SHAPE, 1), "uint8"))
    config = write_config(chunk_size=[16, 16, 8])
    assert zblocks("convert", config).code == 0
    bad = tmp_path / "in" / "s_020.png"
    bad.write_bytes(bad.read_bytes()[:-300])
    code, found = verify(tmp_path / "out", "--source", config)
    assert (code, found["problems"]) == (2, [])
    assert "s_020.png" in found["could_not_check"][0]
    assert found["checked"]["receipted objects"] > 0


def test_info_alone_is_a_volume_of_holes(tmp_path):
    write_tensorstore(tmp_path / "v", voxels())
    shutil.rmtree(tmp_path / "v" / KEY)
    code, found = verify(tmp_path / "v")
    assert (code, set(found["counts"])) == (1, {"missing-chunk"})
    (tmp_path / "v" / KEY).mkdir()
    assert verify(tmp_path / "v")[0] == 1
    found = assert_sound(tmp_path / "v", "--allow-holes")
    assert found["scales"][KEY]["holes"] == found["scales"][KEY]["chunks expected"] == 4 * 3 * 5


@pytest.mark.parametrize("how", [{}, sharding("identity", 1)])
@pytest.mark.parametrize("options", [[], ["--allow-holes"], ["--sample", 4, "--allow-holes"]])
def test_a_grid_that_is_claimed_costs_nothing(tmp_path, how, options):
    write_tensorstore(tmp_path / "v", voxels(), **how)
    cells = 10**6 if how else 10**7
    change(tmp_path / "v", scale_size=[cells * 16, cells * 16, cells * 8])
    tracemalloc.start()
    code, found = verify(tmp_path / "v", *options)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert code == 1  # the chunks that were at its end are clipped
    assert options or how or "grid-too-large" in found["counts"]
    assert found["scales"][KEY]["chunks expected"] == cells**3
    assert peak < 1 << 26


@pytest.mark.parametrize("name", ["identity", "murmurhash3_x86_128"])
def test_indices_that_are_not_kept_are_read_again(tmp_path, monkeypatch, name):
    write_tensorstore(tmp_path / "v", voxels(), **sharding(name, 2))
    monkeypatch.setattr("zblocks.precomputed.reader.KEPT_ENTRIES", 4)
    monkeypatch.setattr("zblocks.precomputed.reader.TABLE_PIECE", 32)
    found = assert_sound(tmp_path / "v")
    assert found["checked"]["voxels"] == np.prod(SHAPE)


@pytest.mark.parametrize("options", [[], ["--sample", 5], ["--sample", 1000]])
@pytest.mark.parametrize("how", [{"sharding": True}, {}])
def test_a_grid_too_large_to_be_walked_is_compared_with_its_slices(
    tmp_path, write_config, monkeypatch, how, options
):
    write_stack(tmp_path / "in", textured((*SHAPE, 1), "uint8"))
    config = write_config(chunk_size=[8, 8, 8], **how)
    assert zblocks("convert", config).code == 0
    monkeypatch.setattr("zblocks.verify.voxels.WALKED", 20)
    found = assert_sound(tmp_path / "out", "--source", config, *options)
    compared = found["checked"]["voxels compared with the slices"]
    assert compared <= 5 * 8**3 if "5" in map(str, options) else compared == np.prod(SHAPE)


def test_a_png_of_another_width_is_sound(tmp_path):
    write_tensorstore(tmp_path / "v", voxels(), encoding="png")
    path = tmp_path / "v" / KEY / "0-16_0-16_0-8"
    pixels = np.asarray(Image.open(path))
    Image.fromarray(pixels.reshape(8, 256)).save(path, "png")
    assert_sound(tmp_path / "v")


def test_an_unclipped_edge_in_a_shard_is_found(tmp_path):
    from zblocks.geometry import Vec
    from zblocks.precomputed.sharding import Sharding, build_shard, chunk_id

    bits = {"preshift_bits": 9, "minishard_bits": 0, "shard_bits": 0}
    how = {"sharding": {**sharding("identity", 0, "raw")["sharding"], **bits}}
    write_tensorstore(tmp_path / "v", voxels(), **how)
    change(tmp_path / "v", scale_sharding={**how["sharding"], "minishard_index_encoding": "gzip"})
    grid = Vec(4, 3, 5)
    chunks = {
        chunk_id(Vec(x, y, z), grid): bytes(16 * 16 * 8)
        for x in range(4) for y in range(3) for z in range(5)
    }  # fmt: skip
    path = min((tmp_path / "v" / KEY).iterdir())
    path.write_bytes(b"".join(build_shard(Sharding(9, 0, 0), chunks)))
    code, found = verify(tmp_path / "v")
    assert (code, list(found["counts"])) == (1, ["bad-chunk"])
    assert found["counts"]["bad-chunk"] == 4 * 3 * 5 - 3 * 2 * 4
