"""Every kind of deliberate damage to OME-Zarr images: `zblocks verify` calls it by its name."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from zarr.codecs import GzipCodec

from tests.flow.test_verify import assert_sound, verify
from tests.flow.test_verify_zarr import write_bioformats2raw
from tests.zarr_images import SPACE, TWO, voxels, write_ours, write_zarr_python
from zblocks.geometry import Vec
from zblocks.omezarr.codecs import checksum

Action = Callable[[Path], object]
OMERO = {
    "channels": [{"color": "FFFFFF", "window": {"min": 0, "max": 255, "start": 0, "end": 200}}]
}


@dataclass(frozen=True)
class Damage:
    """What is done to which sound image, and the kind that it must be called."""

    image: str
    kind: str
    action: Action


# --- sound images, made once


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Folder of sound images: zarr 3, zarr 2, shards, labels, the layout of bioformats2raw."""
    root = tmp_path_factory.mktemp("sound")
    write_zarr_python(root / "three", voxels(), ome={"omero": OMERO}, compressors=GzipCodec())
    write_zarr_python(root / "two", voxels(), version=2, compressors=None)
    write_ours(root / "shards", voxels()[..., None], Vec(0, 0, 0), TWO)
    write_ours(root / "ours", voxels()[..., None], Vec(5, 0, -3), levels=2, zblocks={})
    write_zarr_python(root / "labels", voxels())
    label = {"image-label": {"colors": [{"label-value": 1, "rgba": [255, 0, 0, 255]}]}}
    write_zarr_python(root / "labels" / "labels" / "cells", voxels("uint32"), ome=label)
    listed = {"attributes": {"ome": {"version": "0.5", "labels": ["cells"]}}}
    group = {"zarr_format": 3, "node_type": "group", **listed}
    (root / "labels" / "labels" / "zarr.json").write_text(json.dumps(group))
    write_bioformats2raw(root / "layout")
    return root


@pytest.mark.parametrize("name", ["three", "two", "shards", "ours", "labels", "layout"])
def test_undamaged_it_is_sound(sound, name):
    assert_sound(sound / name)


# --- actions


def edit(name: str, change: Callable[[dict[str, Any]], object]) -> Action:
    """Change a JSON document."""

    def action(image: Path) -> None:
        document = json.loads((image / name).read_text())
        change(document)
        (image / name).write_text(json.dumps(document))

    return action


def both(*actions: Action) -> Action:
    return lambda folder: [action(folder) for action in actions]


def merge(document: dict[str, Any], fields: dict[str, Any]) -> None:
    """Put fields into an object; None takes one away."""
    for name, value in fields.items():
        if value is None:
            document.pop(name, None)
        else:
            document[name] = value


def ome(**fields: Any) -> Action:
    return edit("zarr.json", lambda d: merge(d["attributes"]["ome"], fields))


def image(**fields: Any) -> Action:
    return edit("zarr.json", lambda d: merge(d["attributes"]["ome"]["multiscales"][0], fields))


def dataset(number: int, **fields: Any) -> Action:
    def change(document: dict[str, Any]) -> None:
        merge(document["attributes"]["ome"]["multiscales"][0]["datasets"][number], fields)

    return edit("zarr.json", change)


def array(path: str = "0", **fields: Any) -> Action:
    return edit(f"{path}/zarr.json", lambda d: merge(d, fields))


def two(**fields: Any) -> Action:
    return edit("0/.zarray", lambda d: merge(d, fields))


def label(**fields: Any) -> Action:
    name = "labels/cells/zarr.json"
    return edit(name, lambda d: merge(d["attributes"]["ome"], fields))


def transforms(scale: list[Any], *translation: Any, kind: str = "scale") -> list[dict[str, Any]]:
    moved = [{"type": "translation", "translation": list(translation)}] if translation else []
    return [{"type": kind, kind: scale}, *moved]


def scaled(number: int, *args: Any, **kwargs: Any) -> Action:
    return dataset(number, coordinateTransformations=transforms(*args, **kwargs))


def axes(*names: str, **fields: Any) -> Action:
    return image(axes=[{"name": n, **SPACE[0], **fields} | {"name": n} for n in names])


def text(name: str, words: str) -> Action:
    return lambda folder: (folder / name).write_text(words)


def lose(name: str) -> Action:
    return lambda folder: (folder / name).unlink()


def change(name: str, edited: Callable[[bytes], bytes]) -> Action:
    return lambda folder: (folder / name).write_bytes(edited((folder / name).read_bytes()))


def add(name: str, data: bytes = b"x") -> Action:
    def action(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)

    return action


def window(**fields: Any) -> Action:
    channel = {"color": "FFFFFF", "window": {"min": 0, "max": 255, "start": 0, "end": 200}}
    return ome(omero={"channels": [channel | fields]})


def copied(one: str, other: str) -> Action:
    return lambda folder: shutil.copy(folder / one, folder / other)


def off_by_one(data: bytes) -> bytes:
    raw = bytearray(gzip.decompress(data))
    raw[100] ^= 1
    return gzip.compress(bytes(raw))


CHUNK = "0/c/0/0/0"
INDEX = 16 * 8 + 4  # bytes of a shard's index


def index(edited: Callable[[np.ndarray], object]) -> Action:
    """Change the index of a shard: rows of offset and size; its checksum is made again."""

    def on_shard(data: bytes) -> bytes:
        rows = np.frombuffer(data[-INDEX:-4], "<u8").reshape(-1, 2).copy()
        edited(rows)
        table = rows.tobytes()
        return data[:-INDEX] + table + checksum(table)

    return change(CHUNK, on_shard)


def put(row: int, column: int, value: int) -> Callable[[np.ndarray], object]:
    return lambda rows: rows.__setitem__((row, column), value)


def codecs(*names: str) -> Action:
    return array(codecs=[{"name": n, "configuration": {}} for n in names])


def separator(value: str) -> dict[str, Any]:
    return {"name": "default", "configuration": {"separator": value}}


def chunks(*shape: int) -> Action:
    return array(chunk_grid={"name": "regular", "configuration": {"chunk_shape": shape}})


ONE = [{"type": "scale", "scale": [4, 4, 4]}]
DAMAGES = {
    # the group
    "the group is cut": Damage("three", "group-not-json", text("zarr.json", '{"zarr_format')),
    "the group is nested without end": Damage(
        "three", "group-not-json", text("zarr.json", "[" * 200_000)
    ),
    "the group is NaN": Damage("three", "group-not-json", text("zarr.json", '{"a": NaN}')),
    "the group is a list": Damage("three", "bad-group", text("zarr.json", "[]")),
    "no attributes": Damage("three", "no-ome", edit("zarr.json", lambda d: d.pop("attributes"))),
    "metadata of 0.4 on Zarr 3": Damage(
        "three", "no-ome", edit("zarr.json", lambda d: d.update(attributes=d["attributes"]["ome"]))
    ),
    "another zarr_format": Damage(
        "three", "bad-zarr-format", edit("zarr.json", lambda d: d.update(zarr_format=4))
    ),
    "no version": Damage("three", "bad-version", ome(version=None)),
    "a version that is a number": Damage("three", "bad-version", ome(version=0.5)),
    "no multiscales": Damage("three", "no-multiscales", ome(multiscales=None)),
    "multiscales of nothing": Damage("three", "no-multiscales", ome(multiscales=[])),
    "multiscales of text": Damage("three", "no-multiscales", ome(multiscales=["image"])),
    "no axes": Damage("three", "bad-axes", image(axes=None)),
    "one axis": Damage("three", "bad-axes", axes("x")),
    "axes that are text": Damage("three", "bad-axes", image(axes=["z", "y", "x"])),
    "an axis twice": Damage("three", "bad-axes", axes("z", "y", "y")),
    "an axis without a name": Damage("three", "bad-axes", image(axes=[*SPACE[:2], {}])),
    "channels last": Damage(
        "three", "bad-axes", image(axes=[*SPACE, {"name": "c", "type": "channel"}])
    ),
    "channels before time": Damage(
        "three",
        "bad-axes",
        image(axes=[{"name": "c", "type": "channel"}, {"name": "t", "type": "time"}, *SPACE]),
    ),
    "four axes of space": Damage("three", "bad-axes", axes("w", "z", "y", "x")),
    "a unit that nobody knows": Damage("three", "bad-unit", axes("z", "y", "x", unit="um")),
    "a fourth axis": Damage(
        "three", "bad-scale", image(axes=[{"name": "c", "type": "channel"}, *SPACE])
    ),
    "no datasets": Damage("three", "bad-datasets", image(datasets=None)),
    "datasets of nothing": Damage("three", "bad-datasets", image(datasets=[])),
    "a dataset that is text": Damage("three", "bad-path", image(datasets=["0"])),
    "a dataset without a path": Damage("three", "bad-path", dataset(0, path=None)),
    "a path that leaves the image": Damage("three", "bad-path", dataset(0, path="../three/0")),
    "a path from the root": Damage("three", "bad-path", dataset(0, path="/etc")),
    "one path twice": Damage("three", "duplicate-path", dataset(1, path="0")),
    "a path of nothing": Damage("three", "missing-array", dataset(1, path="7")),
    "no transformations": Damage(
        "three", "bad-coordinate-transformations", dataset(0, coordinateTransformations=None)
    ),
    "two scales": Damage(
        "three", "bad-coordinate-transformations", dataset(0, coordinateTransformations=ONE * 2)
    ),
    "a translation before the scale": Damage(
        "three",
        "bad-coordinate-transformations",
        dataset(0, coordinateTransformations=transforms([4, 4, 4], 0, 0, 0)[::-1]),
    ),
    "a rotation": Damage(
        "three", "bad-coordinate-transformations", scaled(0, [4, 4, 4], kind="rotation")
    ),
    "a scale of two numbers": Damage("three", "bad-scale", scaled(0, [4, 4])),
    "a scale of 0": Damage("three", "bad-scale", scaled(0, [4, 0, 4])),
    "a scale below 0": Damage("three", "bad-scale", scaled(0, [4, -4, 4])),
    "a scale that is text": Damage("three", "bad-scale", scaled(0, ["4", 4, 4])),
    "a scale of 400 digits": Damage("three", "bad-scale", scaled(0, [10**400, 4, 4])),
    "a scale of parsecs": Damage("three", "bad-scale", scaled(0, [1e200, 4, 4])),
    "a translation of text": Damage("three", "bad-translation", scaled(0, [4, 4, 4], "0", 0, 0)),
    "a wrong scale of all": Damage(
        "three", "bad-scale", image(coordinateTransformations=transforms([0, 1, 1]))
    ),
    "levels in the wrong order": Damage("three", "scale-order", scaled(1, [2, 2, 2])),
    "a level that lies elsewhere": Damage("three", "scale-misplaced", scaled(1, [8] * 3, 0, 0, 90)),
    "a level of another scale": Damage("three", "scale-misplaced", scaled(1, [16, 16, 16])),
    "omero that is a list": Damage("three", "bad-omero", ome(omero=[1])),
    "omero of two channels": Damage(
        "three", "bad-omero", ome(omero={"channels": OMERO["channels"] * 2})
    ),
    "a colour in words": Damage("three", "bad-omero", window(color="red")),
    "no window": Damage("three", "bad-omero", window(window=None)),
    "a window that ends before it starts": Damage(
        "three", "bad-omero", window(window={"min": 0, "max": 9, "start": 7, "end": 2})
    ),
    # arrays
    "an array's document is lost": Damage("three", "missing-array", lose("1/zarr.json")),
    "an array's document is cut": Damage("three", "array-not-json", text("0/zarr.json", "{")),
    "an array's document is a list": Damage("three", "bad-document", text("0/zarr.json", "[]")),
    "a group in an array's place": Damage("three", "bad-node-type", array(node_type="group")),
    "zarr_format 2": Damage("three", "bad-zarr-format", array(zarr_format=2)),
    "a shape of two axes": Damage("three", "bad-shape", array(shape=[21, 22])),
    "a shape of 0": Damage("three", "bad-shape", array(shape=[21, 0, 37])),
    "text as data type": Damage("three", "bad-data-type", array(data_type="string")),
    "levels of two types": Damage("three", "level-differs", array("1", data_type="int8")),
    "levels of two numbers of channels": Damage(
        "layout", "level-differs", edit("0/1/.zarray", lambda d: d["shape"].__setitem__(1, 3))
    ),
    "an irregular grid": Damage(
        "three", "bad-chunk-grid", array(chunk_grid={"name": "rectilinear"})
    ),
    "chunks of 0": Damage("three", "bad-chunk-shape", chunks(0, 8, 16)),
    "chunks that no reader holds": Damage("three", "bad-chunks", chunks(10**6, 10**6, 16)),
    "names by another rule": Damage(
        "three", "bad-chunk-key-encoding", array(chunk_key_encoding={"name": "fanout"})
    ),
    "names with dashes": Damage(
        "three", "bad-chunk-key-encoding", array(chunk_key_encoding=separator("-"))
    ),
    "no fill value": Damage("three", "bad-fill-value", array(fill_value=None)),
    "a fill value of 9 bits": Damage("three", "bad-fill-value", array(fill_value=256)),
    "no codecs": Damage("three", "bad-codecs", codecs()),
    "codecs in the wrong order": Damage("three", "bad-codecs", codecs("gzip", "bytes")),
    "no dimension_names": Damage("three", "dimension-names", array(dimension_names=None)),
    "other dimension_names": Damage(
        "three", "dimension-names", array(dimension_names=["x", "y", "z"])
    ),
    "an order of its own": Damage("two", "bad-order", two(order="A")),
    "a type without byte order": Damage("two", "bad-dtype", two(dtype="u1")),
    "a compressor that is text": Damage("two", "bad-compressor", two(compressor="gzip")),
    "a separator of its own": Damage(
        "two", "bad-dimension-separator", two(dimension_separator="-")
    ),
    "chunks of two axes": Damage("two", "bad-chunks", two(chunks=[8, 8])),
    "another zarr_format of version 2": Damage("two", "bad-zarr-format", two(zarr_format=3)),
    "no .zgroup": Damage("two", "missing-group", lose(".zgroup")),
    ".zattrs is cut": Damage("two", "group-not-json", text(".zattrs", '{"multiscales')),
    "no .zattrs": Damage("two", "no-ome", lose(".zattrs")),
    # chunks
    "a chunk is cut": Damage("three", "bad-chunk", change(CHUNK, lambda d: d[:-9])),
    "a chunk of no bytes": Damage("three", "bad-chunk", change(CHUNK, lambda _: b"")),
    "a bit of a chunk flipped": Damage(
        "three", "bad-chunk", change(CHUNK, lambda d: d[:90] + bytes([d[90] ^ 8]) + d[91:])
    ),
    "bytes after a chunk": Damage("three", "bad-chunk", change(CHUNK, lambda d: d + b"more")),
    "a chunk that isn't compressed": Damage("three", "bad-chunk", change(CHUNK, gzip.decompress)),
    "a chunk of another size": Damage(
        "three", "bad-chunk", change(CHUNK, lambda _: gzip.compress(bytes(5 * 8 * 16)))
    ),
    "a gzip bomb": Damage(
        "three", "bad-chunk", change(CHUNK, lambda _: gzip.compress(bytes(10**8)))
    ),
    "an edge chunk that is clipped": Damage(
        "two", "bad-chunk", change("0/2/2/2", lambda d: d[: 5 * 6 * 5])
    ),
    "a raw chunk is too long": Damage("two", "bad-chunk", change("0/0/0/0", lambda d: d + b"x")),
    "a file of megabytes in a chunk's place": Damage(
        "two", "bad-chunk", change("0/0/0/0", lambda _: bytes(10**7))
    ),
    "a chunk beyond the array": Damage("three", "off-grid-chunk", add("0/c/3/0/0")),
    "a chunk with zeros before its number": Damage("three", "off-grid-chunk", add("0/c/00/0/0")),
    "a chunk named by another rule": Damage("three", "off-grid-chunk", add("0/c/0.0.0")),
    "a file that is no chunk": Damage("three", "stray-object", add("0/Thumbs.db")),
    "a chunk outside of its folder": Damage("three", "off-grid-chunk", add("0/0/0/0")),
    "a chunk of an array of version 2": Damage("two", "stray-object", add("0/c/0/0/0")),
    # shards
    "a shard shorter than its index": Damage(
        "shards", "short-shard", change(CHUNK, lambda d: d[:99])
    ),
    "a shard is cut": Damage("shards", "shard-index", change(CHUNK, lambda d: d[:-1])),
    "a bit of an index flipped": Damage(
        "shards", "shard-index", change(CHUNK, lambda d: d[:-9] + bytes([d[-9] ^ 1]) + d[-8:])
    ),
    "a chunk beyond its shard": Damage("shards", "chunk-range", index(put(0, 1, 10**9))),
    "a chunk at the end of all numbers": Damage(
        "shards", "chunk-range", index(put(0, 0, 2**64 - 9))
    ),
    "a chunk that is half absent": Damage("shards", "chunk-range", index(put(0, 1, 2**64 - 1))),
    "a chunk in the index": Damage(
        "shards", "chunk-range", index(lambda r: r.__setitem__(0, [r[-1].sum() - 5, 10]))
    ),
    "two chunks that share bytes": Damage(
        "shards", "shard-overlap", index(lambda r: r.__setitem__(1, r[0]))
    ),
    "a chunk of a shard is spoilt": Damage(
        "shards", "bad-chunk", change(CHUNK, lambda d: bytes(30) + d[30:])
    ),
    "a shard beyond the array": Damage("shards", "off-grid-chunk", add("0/c/2/0/0")),
    "a stray beside shards": Damage("shards", "stray-object", add("0/c/0/0/0.tmp")),
    # what zblocks made
    "a chunk is lost": Damage("ours", "missing-chunk", lose(CHUNK)),
    "a coarse chunk is lost": Damage("ours", "missing-chunk", lose("1/c/1/1/1")),
    "two chunks exchanged": Damage("ours", "scale-differs", copied("0/c/0/0/1", CHUNK)),
    "a coarse voxel is off by one": Damage(
        "ours", "scale-differs", change("1/c/0/0/0", off_by_one)
    ),
    "a level without translation": Damage("ours", "scale-misplaced", scaled(1, [8, 8, 8])),
    "a level that lies a voxel off": Damage(
        "ours", "scale-cover", scaled(1, [8, 8, 8], -12, 4, 28)
    ),
    "a level between two voxels": Damage(
        "ours", "scale-misplaced", scaled(1, [8, 8, 8], -14, 4, 20)
    ),
    # labels and layouts
    "an image-label that is text": Damage(
        "labels", "bad-image-label", label(**{"image-label": "cells"})
    ),
    "a colour of three numbers": Damage(
        "labels",
        "bad-image-label",
        label(**{"image-label": {"colors": [{"label-value": 1, "rgba": [1, 2, 3]}]}}),
    ),
    "a label of two colours": Damage(
        "labels", "bad-image-label", label(**{"image-label": {"colors": [{"label-value": 1}] * 2}})
    ),
    "properties that are text": Damage(
        "labels", "bad-image-label", label(**{"image-label": {"properties": "cells"}})
    ),
    "half a label": Damage(
        "labels",
        "bad-image-label",
        label(**{"image-label": {"properties": [{"label-value": 0.5}]}}),
    ),
    "labels of float": Damage(
        "labels",
        "label-type",
        both(
            array("labels/cells/0", data_type="float32"),
            array("labels/cells/1", data_type="float32"),
        ),
    ),
    "labels that aren't there": Damage(
        "labels",
        "missing-group",
        edit("labels/zarr.json", lambda d: d["attributes"]["ome"].update(labels=["nuclei"])),
    ),
    "labels that are a number": Damage(
        "labels",
        "bad-path",
        edit("labels/zarr.json", lambda d: d["attributes"]["ome"].update(labels=7)),
    ),
    "a chunk of labels is cut": Damage(
        "labels", "bad-chunk", change("labels/cells/0/c/0/0/0", lambda d: d[:-9])
    ),
    "another layout": Damage(
        "layout", "bad-layout", text(".zattrs", '{"bioformats2raw.layout": 2}')
    ),
    "no images": Damage("layout", "no-images", edit("OME/.zattrs", lambda d: d.update(series=[]))),
    "a series that isn't there": Damage(
        "layout", "missing-group", edit("OME/.zattrs", lambda d: d.update(series=["0", "7"]))
    ),
    "a series that leaves the image": Damage(
        "layout", "bad-path", edit("OME/.zattrs", lambda d: d.update(series=["../x"]))
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_it_is_found_and_called_by_its_name(sound, tmp_path, name):
    damage = DAMAGES[name]
    folder = tmp_path / "v"
    shutil.copytree(sound / damage.image, folder)
    damage.action(folder)
    code, found = verify(folder)
    assert code == 1
    assert damage.kind in found["counts"]
    assert all(p["message"] and p["remedy"] for p in found["problems"])


def test_there_are_many_kinds():
    assert len(DAMAGES) >= 100
    assert len({d.kind for d in DAMAGES.values()}) >= 40
