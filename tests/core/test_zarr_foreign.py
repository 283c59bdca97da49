"""Zarr arrays of other tools: every voxel is read as they read it; what can't be read is said."""

from __future__ import annotations

import json

import numcodecs
import numpy as np
import pytest
import tensorstore
import zarr
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, GzipCodec, TransposeCodec, ZstdCodec
from zarr.codecs.sharding import ShardingCodec

from zblocks.compression import MissingDecoderError
from zblocks.geometry import Box, Vec
from zblocks.omezarr.fields import FieldError
from zblocks.omezarr.reader import ArrayReader
from zblocks.omezarr.version2 import parse_v2
from zblocks.omezarr.version3 import parse_v3
from zblocks.storage import open_store

SHAPES = {
    "zyx": (9, 10, 17),
    "yx": (10, 17),
    "czyx": (5, 9, 10, 17),
    "tczyx": (1, 3, 9, 10, 17),
    "xyz": (17, 10, 9),
}
CHUNKS = {
    "zyx": (4, 8, 8),
    "yx": (8, 8),
    "czyx": (2, 4, 8, 8),
    "tczyx": (1, 1, 4, 8, 8),
    "xyz": (8, 8, 4),
}


def voxels(axes, dtype):
    values = np.random.default_rng(0).integers(0, 200, SHAPES[axes])
    return (values % 2 if dtype == "bool" else values / 3 if "float" in dtype else values).astype(
        dtype
    )


def read(folder, axes):
    """Read an array by its document; return (z, y, x, c)."""
    store = open_store(folder.as_uri())
    three = (folder / "a/zarr.json").exists()
    document = json.loads((folder / "a" / ("zarr.json" if three else ".zarray")).read_text())
    array = (parse_v3 if three else parse_v2)("a", axes, document)
    found, whole = ArrayReader.open(store, array), Box(Vec(0, 0, 0), array.size)
    out = np.full((*array.size[::-1], array.channels), array.fill, array.codec.dtype.name)
    for box in whole.cells(array.chunk_size):
        chunk = found.read(box.start.over(array.chunk_size))
        if chunk is not None:
            assert chunk.dtype.isnative
            out[box.slices(whole.start)] = chunk
    return out


def arranged(values, axes):
    """Return an array along these axes as (z, y, x, c)."""
    values = values[0] if axes[0] == "t" else values
    axes = axes.replace("t", "")
    for name in "zc":
        if name not in axes:
            values, axes = values[..., None], axes + name
    return values.transpose([axes.index(n) for n in "zyxc"])


V2 = {
    "zarr-python's default": {},
    "gzip": {"compressors": numcodecs.GZip(5)},
    "zlib": {"compressors": numcodecs.Zlib(5)},
    "zstd": {"compressors": numcodecs.Zstd(3)},
    "none": {"compressors": None},
    "blosc, lz4, shuffled": {"compressors": numcodecs.Blosc("lz4", 5, 1)},
    "blosc, zstd, bits shuffled": {"compressors": numcodecs.Blosc("zstd", 1, 2)},
    "blosc, blosclz": {"compressors": numcodecs.Blosc("blosclz", 9, 0)},
    "blosc, zlib": {"compressors": numcodecs.Blosc("zlib", 1, 1)},
    "dots": {"chunk_key_encoding": {"name": "v2", "separator": "."}},
    "order F": {"order": "F"},
    "no fill value": {"fill_value": None},
    "absent chunks": {"fill_value": 3},
}


def write(folder, values, version, chunks, **options):
    array = zarr.create_array(
        folder / "a", shape=values.shape, dtype=values.dtype, chunks=chunks,
        zarr_format=version, **options,
    )  # fmt: skip
    array[...] = values


@pytest.mark.parametrize("name", V2)
@pytest.mark.parametrize(("axes", "dtype"), [("zyx", "uint8"), ("tczyx", ">u2"), ("czyx", "<f4")])
def test_arrays_of_zarr_2(tmp_path, name, axes, dtype):
    values = voxels(axes, dtype)
    values[..., :8, :8, :8] = 3 if name == "absent chunks" else values[..., :8, :8, :8]
    options = {"chunk_key_encoding": {"name": "v2", "separator": "/"}, **V2[name]}
    write(tmp_path, values, 2, CHUNKS[axes], **options)
    np.testing.assert_array_equal(read(tmp_path, axes), arranged(values, axes))


V3 = {
    "zarr-python's default": {},
    "gzip": {"compressors": GzipCodec()},
    "none": {"compressors": None},
    "blosc": {"compressors": BloscCodec(cname="lz4", shuffle="shuffle")},
    "blosc of bits": {"compressors": BloscCodec(cname="zstd", shuffle="bitshuffle")},
    "two packings": {"compressors": [GzipCodec(), ZstdCodec()]},
    "a checksum": {"compressors": [GzipCodec(), Crc32cCodec()]},
    "big-endian": {"serializer": BytesCodec(endian="big")},
    "names of version 2": {"chunk_key_encoding": {"name": "v2", "separator": "/"}},
    "dots of version 2": {"chunk_key_encoding": {"name": "v2", "separator": "."}},
    "dots": {"chunk_key_encoding": {"name": "default", "separator": "."}},
    "transposed": {"filters": "transpose"},
    "shards": {"shards": 2},
    "absent chunks": {"fill_value": 3},
    "absent chunks in shards": {"fill_value": 3, "shards": 2},
}


@pytest.mark.parametrize("name", V3)
@pytest.mark.parametrize(
    ("axes", "dtype"), [("zyx", "uint8"), ("tczyx", "uint16"), ("czyx", "float32")]
)
def test_arrays_of_zarr_3(tmp_path, name, axes, dtype):
    values, options = voxels(axes, dtype), dict(V3[name])
    values[..., :8, :8, :8] = 3 if "fill_value" in options else values[..., :8, :8, :8]
    if "filters" in options:
        options["filters"] = TransposeCodec(order=(*range(1, len(axes)), 0))
    if "shards" in options:
        options["shards"] = tuple(2 * n for n in CHUNKS[axes])
    write(tmp_path, values, 3, CHUNKS[axes], **options)
    np.testing.assert_array_equal(read(tmp_path, axes), arranged(values, axes))


TYPES = ["bool", "int8", "int16", "int32", "int64", "uint32", "uint64", "float16", "float64"]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("version", [2, 3])
def test_types(tmp_path, dtype, version):
    write(tmp_path, voxels("zyx", dtype), version, CHUNKS["zyx"])
    np.testing.assert_array_equal(read(tmp_path, "zyx")[..., 0], voxels("zyx", dtype))


@pytest.mark.parametrize("axes", SHAPES)
def test_axes(tmp_path, axes):
    write(tmp_path, voxels(axes, "uint8"), 3, CHUNKS[axes])
    np.testing.assert_array_equal(read(tmp_path, axes), arranged(voxels(axes, "uint8"), axes))


@pytest.mark.parametrize("location", ["start", "end"])
@pytest.mark.parametrize("index", [["little"], ["big"], ["little", "crc32c"]])
def test_indices_of_shards(tmp_path, location, index):
    packed = [BytesCodec(endian=index[0]), *[Crc32cCodec()] * (len(index) - 1)]
    codec = ShardingCodec(
        chunk_shape=(4, 8, 8), codecs=[BytesCodec(), GzipCodec()], index_codecs=packed,
        index_location=location,
    )  # fmt: skip
    values = voxels("zyx", "uint16")
    options = {"compressors": None, "serializer": codec}
    write(tmp_path, values, 3, (8, 8, 16), **options)
    np.testing.assert_array_equal(read(tmp_path, "zyx")[..., 0], values)


def gzip_in(*more):
    return [{"name": "bytes"}, {"name": "gzip", "configuration": {"level": 1}}, *more]


@pytest.mark.parametrize("location", ["start", "end"])
def test_shards_of_tensorstore(tmp_path, location):
    index = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
    codecs = {"chunk_shape": [4, 8, 8], "codecs": gzip_in(), "index_codecs": index}
    sharding = {"name": "sharding_indexed", "configuration": codecs | {"index_location": location}}
    grid = {"name": "regular", "configuration": {"chunk_shape": [8, 8, 16]}}
    metadata = {"shape": SHAPES["zyx"], "data_type": "uint8", "chunk_grid": grid}
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": f"{tmp_path}/a"},
        "metadata": {**metadata, "codecs": [sharding]},
    }
    values = voxels("zyx", "uint8")
    tensorstore.open(spec, create=True).result().write(values).result()
    np.testing.assert_array_equal(read(tmp_path, "zyx")[..., 0], values)


def three(**fields):
    """Return a document of version 3, with other fields; None takes one away."""
    grid = {"name": "regular", "configuration": {"chunk_shape": [4, 4, 4]}}
    document = {
        "zarr_format": 3, "node_type": "array", "shape": [9, 9, 9], "data_type": "uint16",
        "chunk_grid": grid, "fill_value": 0,
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
        **fields,
    }  # fmt: skip
    return {k: v for k, v in document.items() if v is not None}


def sharding(**fields):
    index = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
    codecs = [{"name": "bytes", "configuration": {"endian": "little"}}]
    configuration = {"chunk_shape": [2, 2, 2], "codecs": codecs, "index_codecs": index, **fields}
    return [{"name": "sharding_indexed", "configuration": configuration}]


LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
WRONG3 = {
    "a list": ([], "document"),
    "version 4": (three(zarr_format=4), "zarr_format"),
    "a group": (three(node_type="group"), "node_type"),
    "two axes": (three(shape=[9, 9]), "shape"),
    "no voxels": (three(shape=[9, 0, 9]), "shape"),
    "a size that is text": (three(shape=[9, "9", 9]), "shape"),
    "a size that is true": (three(shape=[9, True, 9]), "shape"),
    "a size of 400 digits": (three(shape=[9, 10**400, 9]), "shape"),
    "complex numbers": (three(data_type="complex64"), "data_type"),
    "a type that is a list": (three(data_type=["uint8"]), "data_type"),
    "another grid": (three(chunk_grid={"name": "rectilinear"}), "chunk_grid"),
    "no grid": (three(chunk_grid=None), "chunk_grid"),
    "chunks of 0": (
        three(chunk_grid={"name": "regular", "configuration": {"chunk_shape": [4, 0, 4]}}),
        "chunk_shape",
    ),
    "chunks that no reader holds": (
        three(chunk_grid={"name": "regular", "configuration": {"chunk_shape": [4096] * 3}}),
        "chunks",
    ),
    "another key": (three(chunk_key_encoding={"name": "fanout"}), "chunk_key_encoding"),
    "another separator": (
        three(chunk_key_encoding={"name": "default", "configuration": {"separator": "-"}}),
        "chunk_key_encoding",
    ),
    "no fill value": (three(fill_value=None), "fill_value"),
    "a fill value of 17 bits": (three(fill_value=1 << 16), "fill_value"),
    "a fill value below 0": (three(fill_value=-1), "fill_value"),
    "half a fill value": (three(fill_value=0.5), "fill_value"),
    "a word as fill value": (three(fill_value="NaN"), "fill_value"),
    "bits of another fill value": (three(data_type="float32", fill_value="0x0g"), "fill_value"),
    "no codecs": (three(codecs=[]), "codecs"),
    "codecs that are text": (three(codecs="bytes"), "codecs"),
    "a codec of no name": (three(codecs=[{}]), "codecs"),
    "no byte order": (three(codecs=[{"name": "bytes"}]), "codecs"),
    "another byte order": (
        three(codecs=[{"name": "bytes", "configuration": {"endian": "pdp"}}]), "codecs",
    ),
    "gzip before bytes": (three(codecs=["gzip", LITTLE]), "codecs"),
    "bytes of bytes": (three(codecs=[LITTLE, LITTLE]), "codecs"),
    "an axis twice": (
        three(codecs=[{"name": "transpose", "configuration": {"order": [0, 0, 1]}}, LITTLE]),
        "codecs",
    ),
    "chunks that don't fit in shards": (three(codecs=sharding(chunk_shape=[3, 2, 2])), "codecs"),
    "an index in the middle": (three(codecs=sharding(index_location="middle")), "codecs"),
    "shards of no chunks": (three(codecs=sharding(codecs=None)), "codecs"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG3)
def test_wrong_fields_are_named(name):
    document, field = WRONG3[name]
    with pytest.raises(FieldError) as error:
        parse_v3("0", "zyx", document)
    assert error.value.field == field


UNKNOWN3 = {
    "a codec": three(codecs=[LITTLE, {"name": "numcodecs.lzma"}]),
    "storage transformers": three(storage_transformers=[{"name": "x"}]),
    "an index that is gzipped": three(codecs=sharding(index_codecs=[LITTLE, {"name": "gzip"}])),
    "shards of shards": three(codecs=sharding(codecs=sharding(chunk_shape=[1, 1, 1]))),
}


@pytest.mark.parametrize("name", UNKNOWN3)
def test_what_cannot_be_read_is_said(name):
    with pytest.raises(MissingDecoderError, match=r"."):
        parse_v3("0", "zyx", UNKNOWN3[name])


@pytest.mark.parametrize(
    ("value", "expected"),
    [("NaN", np.nan), ("-Infinity", -np.inf), ("0x3f800000", 1.0), (2.5, 2.5), (7, 7)],
)
def test_fill_values_of_real_numbers(value, expected):
    found = parse_v3("0", "zyx", three(data_type="float32", fill_value=value)).fill
    np.testing.assert_equal(found, expected)


def two(**fields):
    return {
        "zarr_format": 2, "shape": [9, 9, 9], "chunks": [4, 4, 4], "dtype": "<u2", "order": "C",
        "compressor": None, "fill_value": 0, "filters": None, **fields,
    }  # fmt: skip


WRONG2 = {
    "version 3": (two(zarr_format=3), "zarr_format"),
    "two axes": (two(chunks=[4, 4]), "chunks"),
    "a type without byte order": (two(dtype="u2"), "dtype"),
    "text": (two(dtype="<U4"), "dtype"),
    "a record": (two(dtype=[["a", "<u2"]]), "dtype"),
    "code": (two(dtype="<" * 50), "dtype"),
    "another order": (two(order="A"), "order"),
    "another separator": (two(dimension_separator="-"), "dimension_separator"),
    "a compressor that is text": (two(compressor="gzip"), "compressor"),
    "a fill value of 17 bits": (two(fill_value=1 << 16), "fill_value"),
}


@pytest.mark.parametrize("name", WRONG2)
def test_wrong_fields_of_version_2_are_named(name):
    document, field = WRONG2[name]
    with pytest.raises(FieldError) as error:
        parse_v2("0", "zyx", document)
    assert error.value.field == field


@pytest.mark.parametrize("fields", [{"compressor": {"id": "lz4"}}, {"filters": [{"id": "delta"}]}])
def test_what_cannot_be_read_of_version_2_is_said(fields):
    with pytest.raises(MissingDecoderError, match=r"lz4|delta"):
        parse_v2("0", "zyx", two(**fields))


BLOSC = {
    "no bytes": (lambda d: b"", "less than a blosc header"),
    "cut": (lambda d: d[:-1], "its blosc header says"),
    "a size that it doesn't have": (
        lambda d: d[:4] + (1 << 30).to_bytes(4, "little") + d[8:], "decompresses to 1073741824",
    ),
    "another version": (lambda d: b"\xff" + d[1:], "can't be decompressed as blosc"),
}  # fmt: skip


@pytest.mark.parametrize("name", BLOSC)
def test_damaged_blosc_is_refused(tmp_path, name):
    edit, words = BLOSC[name]
    write(tmp_path, voxels("zyx", "uint8"), 2, CHUNKS["zyx"], compressors=numcodecs.Blosc("lz4"))
    path = tmp_path / "a/0.0.0"
    path.write_bytes(edit(path.read_bytes()))
    with pytest.raises(ValueError, match=f"^a/0.0.0: .*{words}"):
        read(tmp_path, "zyx")


def test_without_numcodecs_blosc_could_not_be_read(tmp_path, monkeypatch):
    write(tmp_path, voxels("zyx", "uint8"), 2, CHUNKS["zyx"], compressors=numcodecs.Blosc("lz4"))
    monkeypatch.setitem(__import__("sys").modules, "numcodecs.blosc", None)
    with pytest.raises(MissingDecoderError, match=r"zblocks\[verify\]"):
        read(tmp_path, "zyx")
