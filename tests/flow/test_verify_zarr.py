"""`zblocks verify` of OME-Zarr: images of other tools pass, and what can't be checked is said."""

from __future__ import annotations

import gzip
import json
import shutil
import tracemalloc
from pathlib import Path

import numcodecs
import numpy as np
import pytest
from zarr.codecs import BloscCodec

from tests.flow.conftest import textured, write_stack, zblocks
from tests.flow.test_verify import assert_sound, verify, write_tensorstore
from tests.zarr_images import (
    NM,
    SHAPE,
    SPACE,
    TWO,
    voxels,
    write_ours,
    write_tensorstore_image,
    write_zarr_python,
)
from zblocks.geometry import Vec

FIXTURES = sorted((Path(__file__).parents[1] / "formats" / "ome_zarr").glob("*.tar.xz"))


@pytest.mark.parametrize("archive", FIXTURES, ids=lambda path: path.name.removesuffix(".tar.xz"))
def test_images_of_ome_zarr_py_and_ngff_zarr_are_sound(tmp_path, archive):
    """Written by `tests/formats/ome_zarr/make.py`."""
    shutil.unpack_archive(archive, tmp_path / "v")
    found = assert_sound(tmp_path / "v")
    assert found["could_not_check"] == []
    assert found["checked"]["voxels"] >= 9 * 14 * 25
    assert ("labels/boxes/s0" in found["scales"]) == ("labels" in archive.name)


C = {"name": "c", "type": "channel"}
T = {"name": "t", "type": "time", "unit": "second"}
PYTHON = {
    "zarr 3": {},
    "zarr 2": {"version": 2},
    "zarr 2, dots": {"version": 2, "chunk_key_encoding": {"name": "v2", "separator": "."}},
    "zarr 2, order F": {"version": 2, "order": "F"},
    "zarr 2, blosc": {"version": 2, "compressors": numcodecs.Blosc("lz4", 5, 1)},
    "blosc": {"compressors": BloscCodec(cname="lz4")},
    "shards": {"shards": (16, 16, 32)},
    "channels": {"axes": [C, *SPACE], "shape": (3, *SHAPE)},
    "channels in each chunk": {
        "axes": [C, *SPACE], "shape": (3, *SHAPE), "chunks": (3, 8, 8, 16),
    },
    "channels in shards": {
        "axes": [C, *SPACE], "shape": (3, *SHAPE), "chunks": (1, 8, 8, 16),
        "shards": (2, 16, 16, 32),
    },
    "one time point": {"axes": [T, C, *SPACE], "shape": (1, 2, *SHAPE)},
    "axes in capitals": {"axes": [{"name": n, **NM} for n in "ZYX"]},
    "axes without types": {"axes": [{"name": n} for n in "zyx"]},
    "real numbers": {"dtype": "float32"},
    "other whole numbers": {"dtype": "int64"},
}  # fmt: skip


@pytest.mark.parametrize("name", PYTHON)
def test_what_zarr_python_writes_is_sound(tmp_path, name):
    options = dict(PYTHON[name])
    shape = options.pop("shape", SHAPE)
    write_zarr_python(tmp_path / "v", voxels(options.pop("dtype", "uint16"), shape), **options)
    found = assert_sound(tmp_path / "v")
    assert found["scales"]["0"]["voxels"] == np.prod(SHAPE)
    assert found["scales"]["0"]["chunks"] == found["scales"]["0"]["chunks expected"] == 27


GZIP = {"name": "gzip", "configuration": {"level": 1}}
INDEX = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]


def in_shards(location="end"):
    inner = {"chunk_shape": [4, 4, 8], "codecs": ["bytes", GZIP], "index_codecs": INDEX}
    inner["codecs"] = [{"name": "bytes"}, GZIP]
    return [{"name": "sharding_indexed", "configuration": inner | {"index_location": location}}]


TENSORSTORE = {
    "gzip": [{"name": "bytes"}, GZIP],
    "raw": [{"name": "bytes"}],
    "shards": in_shards(),
    "shards, index first": in_shards("start"),
}


@pytest.mark.parametrize("name", TENSORSTORE)
def test_what_tensorstore_writes_is_sound(tmp_path, name):
    write_tensorstore_image(tmp_path / "v", voxels(), TENSORSTORE[name])
    found = assert_sound(tmp_path / "v")
    assert found["checked"]["voxels"] == np.prod(SHAPE)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shard", [None, Vec(2, 2, 2)])
@pytest.mark.parametrize("start", [Vec(0, 0, 0), Vec(-3, 7, 1001)])
def test_what_this_package_writes_is_sound(tmp_path, channels, shard, start):
    write_ours(tmp_path / "v", voxels(shape=(*SHAPE, channels)), start, shard, levels=3)
    found = assert_sound(tmp_path / "v")
    assert found["scales"]["0"]["voxels"] == np.prod(SHAPE)
    assert found["notes"] == [
        "not made by zblocks: coarser scales are not compared with their means"
    ]


@pytest.mark.parametrize("start", [Vec(0, 0, 0), Vec(-3, 7, 1001), Vec(5, -8, -1)])
def test_levels_of_images_that_zblocks_made_are_compared(tmp_path, start):
    values = voxels(shape=(*SHAPE, 1))
    write_ours(tmp_path / "v", values, start, TWO, levels=3, zblocks={"version": "1"})
    found = assert_sound(tmp_path / "v")
    assert found["checked"]["voxels compared with the finer scale"] > np.prod(SHAPE) // 10


BOTH = ["precomputed", "ome-zarr"]
OURS = {
    "odd sizes and offset": (1, {"voxel_offset": [-3, 5, 7]}),
    "unsharded": (1, {"sharding": False}),
    "colour": (3, {"voxel_offset": [1, -1, 3]}),
    "zstd": (1, {"compression": "zstd", "format": "ome-zarr"}),
    "uncompressed": (1, {"compression": "none", "format": "ome-zarr"}),
    "labels": (1, {"layer_type": "segmentation", "scales": 3}),
    "JPEG beside it": (1, {"encoding": "jpeg"}),
}


@pytest.mark.parametrize("name", OURS)
def test_what_zblocks_converts_is_sound_and_equals_its_slices(tmp_path, write_config, name):
    channels, fields = OURS[name]
    write_stack(tmp_path / "in", textured((37, 41, 53, channels), "uint8"))
    fields = {"format": BOTH, "sharding": True, **fields}
    config = write_config(chunk_size=[16, 16, 8], voxel_resolution=[4, 4, 4], **fields)
    assert zblocks("convert", config).code == 0
    alone = fields["format"] != BOTH
    found = assert_sound(tmp_path / ("out" if alone else "out.ome.zarr"), "--source", config)
    assert found["checked"]["voxels compared with the slices"] == 37 * 41 * 53
    assert found["checked"]["voxels compared with the finer scale"] > 37 * 41 * 53 // 10
    assert found["checked"]["receipted objects"] > 0
    if alone:
        assert found["notes"] == []
    else:
        other = f"also stored as precomputed: file://{tmp_path}/out; check it, too"
        assert found["notes"] == [other]
        found = assert_sound(tmp_path / "out", "--source", config)
        assert found["notes"][0].startswith("also stored as ome-zarr: file:")
        assert found["checked"]["receipted objects"] > 0


@pytest.mark.parametrize("sharding", [True, False])
def test_planned_holes_are_no_missing_chunks(tmp_path, write_config, sharding):
    write_stack(tmp_path / "in", textured((40, 50, 60, 1), "uint8"))
    for z in range(8, 24):
        (tmp_path / f"in/s_{z:03}.png").unlink()
    config = write_config(
        sharding=sharding, chunk_size=[16, 16, 8], format=BOTH, missing="hole", scales=2,
        filter={"regex": r"s_(?P<z>\d+)\.png"},
    )  # fmt: skip
    assert zblocks("convert", config).code == 0
    found = assert_sound(tmp_path / "out.ome.zarr", "--source", config)
    assert found["scales"]["0"]["declared holes"] == 2 * 4 * 4
    assert_sound(tmp_path / "out", "--source", config)
    if not sharding:
        (tmp_path / "out.ome.zarr/0/c/0/0/0").unlink()
        code, found = verify(tmp_path / "out.ome.zarr")
        assert (code, found["counts"]) == (1, {"missing-chunk": 1, "receipt-differs": 1})


def test_a_copy_of_an_image_without_the_volume_beside_it(tmp_path, write_config):
    """Without plan and receipts, the scales are still compared with each other."""
    write_stack(tmp_path / "in", textured((20, 41, 53, 1), "uint8"))
    config = write_config(
        chunk_size=[16, 16, 8], voxel_offset=[-3, 5, 7], format=BOTH, sharding=False
    )
    assert zblocks("convert", config).code == 0
    shutil.copytree(tmp_path / "out.ome.zarr", tmp_path / "copy.ome.zarr")
    found = assert_sound(tmp_path / "copy.ome.zarr")
    assert found["checked"]["voxels compared with the finer scale"] > 0
    assert "receipted objects" not in found["checked"]
    (tmp_path / "copy.ome.zarr/0/c/0/0/0").unlink()
    assert verify(tmp_path / "copy.ome.zarr")[1]["counts"] == {"missing-chunk": 1}


def test_a_name_alone_makes_no_image_of_a_volume_beside_it(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((20, 41, 53, 1), "uint8"))
    assert zblocks("convert", write_config()).code == 0
    write_zarr_python(tmp_path / "out.ome.zarr", voxels())
    found = assert_sound(tmp_path / "out.ome.zarr")
    assert "not made by zblocks" in found["notes"][-1]


def edited(image, key, **fields):
    document = json.loads((image / key).read_text())
    (image / key).write_text(json.dumps(document | fields))


def moved(image):
    document = json.loads((image / "zarr.json").read_text())
    for dataset in document["attributes"]["ome"]["multiscales"][0]["datasets"]:
        for one in dataset["coordinateTransformations"]:
            if one["type"] == "translation":
                one["translation"] = [t + 32 for t in one["translation"]]
    (image / "zarr.json").write_text(json.dumps(document))


def without_last(image):
    document = json.loads((image / "zarr.json").read_text())
    document["attributes"]["ome"]["multiscales"][0]["datasets"].pop()
    (image / "zarr.json").write_text(json.dumps(document))


AGAINST_PLAN = {
    "another fill value": lambda image: edited(image, "0/zarr.json", fill_value=7),
    "another shape": lambda image: edited(image, "1/zarr.json", shape=[9, 9, 9]),
    "moved as a whole": moved,
    "without its last level": without_last,
}


@pytest.mark.parametrize("name", AGAINST_PLAN)
def test_what_is_not_as_planned_is_found(tmp_path, write_config, name):
    write_stack(tmp_path / "in", textured((37, 41, 53, 1), "uint8"))
    fields = {"format": BOTH, "voxel_resolution": [4, 4, 4], "scales": 3}
    assert zblocks("convert", write_config(chunk_size=[16, 16, 8], **fields)).code == 0
    AGAINST_PLAN[name](tmp_path / "out.ome.zarr")
    code, found = verify(tmp_path / "out.ome.zarr")
    assert code == 1
    assert "plan-differs" in found["counts"]


def test_a_receipt_names_a_chunk_that_was_packed_anew(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((37, 41, 53, 1), "uint8"))
    config = write_config(chunk_size=[16, 16, 8], format="ome-zarr", sharding=False)
    assert zblocks("convert", config).code == 0
    path = tmp_path / "out/0/c/0/1/1"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 9))
    assert verify(tmp_path / "out")[1]["counts"] == {"receipt-differs": 1}


def test_an_image_beside_a_volume_in_a_bucket(tmp_path, write_config, cloud):
    write_stack(tmp_path / "in", textured((37, 41, 53, 1), "uint16"), ".tif")
    place = "s3://volumes/v"
    config = write_config(destination=place, chunk_size=[16, 16, 8], format=BOTH)
    assert zblocks("convert", config).code == 0
    for url in (f"{place}.ome.zarr", place):
        assert assert_sound(url, "--source", config)["checked"]["receipted objects"] > 0


def test_labels_without_image_label_are_noted(tmp_path):
    write_zarr_python(tmp_path / "v", voxels())
    write_zarr_python(tmp_path / "v/labels/a/b", voxels("uint32"), levels=1)
    attributes = {"ome": {"version": "0.5", "labels": ["a/b"]}}
    document = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
    (tmp_path / "v/labels/zarr.json").write_text(json.dumps(document))
    found = assert_sound(tmp_path / "v")
    assert any("image-label: is missing" in note for note in found["notes"])
    assert any("has 1 levels where its image has 2" in note for note in found["notes"])
    assert found["scales"]["labels/a/b/0"]["chunks"] == 27


def write_bioformats2raw(folder, listed=True):
    """Write two images as bioformats2raw lays them out, with its types and compression."""
    axes = [{"name": "t", "type": "time"}, C, *({"name": n, "type": "space", "unit": "micrometer"}
                                                for n in "zyx")]  # fmt: skip
    omero = {"channels": [{"color": "FF0000", "label": "Channel 0", "active": True,
                           "window": {"min": 0.0, "max": 255.0, "start": 0.0, "end": 255.0}},
                          {"color": "00FF00", "coefficient": 1, "family": "linear",
                           "window": {"min": 0.0, "max": 255.0, "start": 1.0, "end": 99.0}}],
             "rdefs": {"defaultT": 0, "defaultZ": 10, "model": "color"}}  # fmt: skip
    for n in "01":
        write_zarr_python(
            folder / n, voxels(">u2", (1, 2, *SHAPE)), version=2, axes=axes,
            chunks=(1, 1, 1, 16, 16), ome={"omero": omero},
            compressors=numcodecs.Blosc("lz4", 5, 1),
        )  # fmt: skip
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    (folder / ".zattrs").write_text('{"bioformats2raw.layout": 3}')
    (folder / "OME").mkdir()
    (folder / "OME" / "METADATA.ome.xml").write_text("<OME/>")
    if listed:
        (folder / "OME" / ".zgroup").write_text('{"zarr_format": 2}')
        (folder / "OME" / ".zattrs").write_text('{"series": ["0", "1"]}')


@pytest.mark.parametrize("listed", [True, False])
def test_the_layout_of_bioformats2raw_is_sound(tmp_path, listed):
    write_bioformats2raw(tmp_path / "v", listed)
    found = assert_sound(tmp_path / "v")
    assert sorted(found["scales"]) == ["0/0", "0/1", "1/0", "1/1"]
    assert found["checked"]["voxels"] == 2 * (np.prod(SHAPE) + 11 * 11 * 19)


def test_the_layout_of_bioformats2raw_on_zarr_3_is_sound(tmp_path):
    write_zarr_python(tmp_path / "v" / "0", voxels())
    ome = {"version": "0.5", "bioformats2raw.layout": 3}
    document = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
    (tmp_path / "v" / "zarr.json").write_text(json.dumps(document))
    assert sorted(assert_sound(tmp_path / "v")["scales"]) == ["0/0", "0/1"]


@pytest.mark.parametrize("shards", [None, (16, 16, 32)])
def test_chunks_that_are_left_out_hold_the_fill_value(tmp_path, shards):
    values = voxels()
    values[:8, :8, :16] = 9
    write_zarr_python(tmp_path / "v", values, levels=1, fill_value=9, shards=shards)
    found = assert_sound(tmp_path / "v")
    assert found["scales"]["0"]["holes"] == 1
    assert "0: 1 of 27 chunks are absent, which readers take as 9" in found["notes"]


def test_a_scale_of_all_levels_comes_after_their_own(tmp_path, write_config):
    values = textured((*SHAPE, 1), "uint8")
    write_stack(tmp_path / "in", values)
    config = write_config(scales=1, voxel_resolution=[8, 8, 8], voxel_offset=[5, -1, 3])
    write_ours(tmp_path / "v", values, Vec(1, -3, 2))
    document = json.loads((tmp_path / "v/zarr.json").read_text())
    (image,) = document["attributes"]["ome"]["multiscales"]
    more = {"type": "translation", "translation": [8, 16, 32]}
    image["coordinateTransformations"] = [{"type": "scale", "scale": [2, 2, 2]}, more]
    (tmp_path / "v/zarr.json").write_text(json.dumps(document))
    assert_sound(tmp_path / "v", "--source", config)


@pytest.mark.parametrize("shards", [None, (16, 16, 32)])
def test_the_fill_value_is_compared_with_the_slices(tmp_path, write_config, shards):
    values = textured((*SHAPE, 1), "uint8")
    values[:8, :8, :16] = 9
    write_stack(tmp_path / "in", values)
    config = write_config(scales=1, voxel_resolution=[4, 4, 4])
    write_zarr_python(tmp_path / "v", values[..., 0], levels=1, fill_value=9, shards=shards)
    found = assert_sound(tmp_path / "v", "--source", config)
    assert found["checked"]["holes"] == 1
    write_zarr_python(tmp_path / "v", values[..., 0], levels=1, fill_value=9, shards=shards)
    values[3, 3, 3] = 8
    write_stack(tmp_path / "in", values)
    code, found = verify(tmp_path / "v", "--source", config)
    assert (code, found["counts"]) == (1, {"missing-chunk": 1})
    assert "isn't 9 in 1 of 1024 voxels" in found["problems"][0]["message"]


def test_slices_are_compared_with_an_image_of_another_tool(tmp_path, write_config):
    values = textured((*SHAPE, 1), "uint8")
    write_stack(tmp_path / "in", values)
    config = write_config(scales=1, voxel_resolution=[4, 4, 4])
    write_zarr_python(tmp_path / "v", values[..., 0], levels=1)
    found = assert_sound(tmp_path / "v", "--source", config)
    assert found["checked"]["voxels compared with the slices"] == np.prod(SHAPE)
    values[20, 5, 7] += 1
    write_zarr_python(tmp_path / "v", values[..., 0], levels=1)
    code, found = verify(tmp_path / "v", "--source", config)
    assert (code, found["counts"]) == (1, {"source-differs": 1})
    assert found["problems"][0]["place"] == "0/c/2/0/0"


def test_a_chunk_that_is_absent_must_hold_what_the_slices_do(tmp_path, write_config):
    values = textured((*SHAPE, 1), "uint8")
    write_stack(tmp_path / "in", values)
    config = write_config(scales=1, voxel_resolution=[4, 4, 4])
    write_zarr_python(tmp_path / "v", values[..., 0], levels=1)
    (tmp_path / "v/0/c/0/1/2").unlink()
    code, found = verify(tmp_path / "v", "--source", config)
    assert (code, found["counts"]) == (1, {"missing-chunk": 1})
    assert found["problems"][0]["place"] == "0/c/0/1/2"


def test_levels_are_compared_where_slices_are_given(tmp_path, write_config):
    values = textured((*SHAPE, 1), "uint8")
    write_stack(tmp_path / "in", values)
    config = write_config(scales=2, voxel_resolution=[4, 4, 4])
    write_zarr_python(tmp_path / "v", values[..., 0])  # every second voxel, no means
    code, found = verify(tmp_path / "v", "--source", config)
    assert (code, list(found["counts"])) == (1, ["scale-differs"])


def test_several_time_points_could_not_all_be_checked(tmp_path):
    write_zarr_python(tmp_path / "v", voxels(shape=(2, *SHAPE)), axes=[T, *SPACE], levels=1)
    code, found = verify(tmp_path / "v")
    assert (code, found["problems"]) == (2, [])
    assert found["could_not_check"] == ["0: has 2 time points, of which the first is checked"]
    assert found["scales"]["0"]["chunks"] == 27


def test_without_numcodecs_blosc_could_not_be_checked(tmp_path, monkeypatch):
    write_zarr_python(tmp_path / "v", voxels(), compressors=BloscCodec())
    monkeypatch.setitem(__import__("sys").modules, "numcodecs.blosc", None)
    code, found = verify(tmp_path / "v")
    assert (code, found["problems"]) == (2, [])
    assert "pip install 'zblocks[verify]'" in found["could_not_check"][0]


def ome(folder, **fields):
    """Change fields of the group's metadata; None takes one away."""
    document = json.loads((folder / "zarr.json").read_text())
    changed = document["attributes"]["ome"] | fields
    document["attributes"]["ome"] = {k: v for k, v in changed.items() if v is not None}
    (folder / "zarr.json").write_text(json.dumps(document))


UNCHECKED = {
    "a later version": ({"version": "0.6"}, "OME-Zarr 0.6 on Zarr 3; 0.5 is checked"),
    "a plate": ({"plate": {}}, "is a plate; check its images one by one"),
    "a transformation in a file": (
        {"multiscales": [{"axes": SPACE, "datasets": [
            {"path": "0", "coordinateTransformations": [{"type": "scale", "path": "x"}]}]}]},
        "a scale in the file x can't be read here",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", UNCHECKED)
def test_what_could_not_be_checked_is_said(tmp_path, name):
    fields, words = UNCHECKED[name]
    write_zarr_python(tmp_path / "v", voxels(), levels=1)
    ome(tmp_path / "v", **fields)
    code, found = verify(tmp_path / "v")
    assert (code, found["problems"]) == (2, [])
    assert words in found["could_not_check"][0]


def test_a_codec_that_nobody_here_knows_could_not_be_checked(tmp_path):
    write_zarr_python(tmp_path / "v", voxels(), levels=1)
    document = json.loads((tmp_path / "v/0/zarr.json").read_text())
    document["codecs"].append({"name": "numcodecs.lzma", "configuration": {}})
    (tmp_path / "v/0/zarr.json").write_text(json.dumps(document))
    code, found = verify(tmp_path / "v")
    assert (code, found["problems"]) == (2, [])
    assert found["could_not_check"] == ["0/zarr.json: codec numcodecs.lzma can't be read here"]


def test_an_array_alone_is_no_image(tmp_path):
    write_zarr_python(tmp_path / "v", voxels(), levels=1)
    done = zblocks("verify", tmp_path / "v" / "0")
    assert done.code == 2
    assert "a Zarr array of its own, not an OME-Zarr image; give its group" in done.err
    write_zarr_python(tmp_path / "w", voxels(), levels=1, version=2)
    assert "a Zarr array of its own" in zblocks("verify", tmp_path / "w" / "0").err


def test_both_formats_in_one_place_are_checked(tmp_path):
    write_zarr_python(tmp_path / "v", voxels(), levels=1)
    write_tensorstore(tmp_path / "v", textured((*SHAPE, 1), "uint8").transpose(2, 1, 0, 3) + 1)
    found = assert_sound(tmp_path / "v")
    assert {"0", "4_4_40"} == set(found["scales"])
    assert "both are checked" in found["notes"][0]
    (tmp_path / "v/0/c/0/0/0").write_bytes(b"")
    min((tmp_path / "v/4_4_40").iterdir()).unlink()
    assert verify(tmp_path / "v")[1]["counts"] == {"missing-chunk": 1, "bad-chunk": 1}


@pytest.mark.parametrize("shards", [None, (16, 16, 32)])
def test_a_grid_that_is_claimed_costs_nothing(tmp_path, shards):
    write_zarr_python(tmp_path / "v", voxels(), levels=1, shards=shards)
    document = json.loads((tmp_path / "v/0/zarr.json").read_text())
    document["shape"] = [10**12] * 3
    (tmp_path / "v/0/zarr.json").write_text(json.dumps(document))
    tracemalloc.start()
    found = assert_sound(tmp_path / "v")
    assert tracemalloc.get_traced_memory()[1] < 1 << 26
    tracemalloc.stop()
    assert found["scales"]["0"]["chunks"] == 27


@pytest.mark.parametrize("version", [2, 3])
def test_images_in_a_bucket(tmp_path, cloud, version):
    shards = {"shards": (16, 16, 32)} if version == 3 else {}
    write_zarr_python(tmp_path / "v", voxels(), version=version, **shards)
    for path in (p for p in (tmp_path / "v").rglob("*") if p.is_file()):
        cloud.put("volumes", f"v/{path.relative_to(tmp_path / 'v')}", path.read_bytes())
    assert_sound("s3://volumes/v")
    key = "v/0/c/0/0/0" if version == 3 else "v/0/0/0/0"
    data = cloud.s3.get_object(Bucket="volumes", Key=key)["Body"].read()
    cloud.put("volumes", key, data, "gzip")
    code, found = verify("s3://volumes/v")
    assert (code, found["counts"]) == (1, {"shard-index" if version == 3 else "bad-chunk": 1})
    assert "Content-Encoding gzip" in found["problems"][0]["message"]
