"""Every kind of deliberate damage, one test each: `zblocks verify` finds it and calls it by name.

`python -m pytest tests/flow/test_damage.py -q` prints how many kinds are caught.
"""

from __future__ import annotations

import gzip
import io
import json
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import brotli
import numpy as np
import pytest
import simplejpeg
import zstandard
from PIL import Image

from tests.flow.conftest import textured, write_stack, zblocks
from tests.flow.test_verify import SHAPE, assert_sound, labels, verify, write_tensorstore

KEY = "4_4_4"
Action = Callable[[Path], None]


@dataclass(frozen=True)
class Damage:
    """What is done to which sound volume, and the kind that it must be called."""

    volume: str
    kind: str
    action: Action


# --- sound volumes, made once


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Folder of sound volumes: gzip, raw, jpeg, shards, labels."""
    root = tmp_path_factory.mktemp("sound")
    write_stack(root / "in", textured((*SHAPE, 1), "uint8"))
    fields = {"gzip": {}, "raw": {"compression": "none"}, "jpeg": {"encoding": "jpeg"},
              "shards": {"sharding": True, "chunk_size": [8, 8, 4]}, "png": {"encoding": "png"},
              "brotli": {"compression": "br"}}  # fmt: skip
    for name, more in fields.items():
        config = {
            "source": f"file://{root}/in",
            "destination": f"file://{root}/{name}",
            "voxel_resolution": [4, 4, 4],
            "chunk_size": [16, 16, 8],
            **more,
        }
        (root / "config.json").write_text(json.dumps(config))
        assert zblocks("convert", root / "config.json").code == 0
    block = {"compressed_segmentation_block_size": [8, 8, 8]}
    encoding = {"encoding": "compressed_segmentation", **block, "resolution": [4, 4, 4]}
    write_tensorstore(root / "labels", labels("uint64"), layer="segmentation", **encoding)
    write_copies(root / "copies")
    return root


def write_copies(folder: Path) -> None:
    """Write one scale cut in two ways: a second `chunk_sizes` entry."""
    data = textured((*SHAPE, 1), "uint8").transpose(2, 1, 0, 3)
    for name, size in ((folder, [16, 16, 8]), (folder / "second", [32, 16, 16])):
        write_tensorstore(name, data, chunk_size=size, resolution=[4, 4, 4])
    for path in (folder / "second" / KEY).iterdir():
        path.rename(folder / KEY / path.name)
    shutil.rmtree(folder / "second")
    scale(chunk_sizes=[[16, 16, 8], [32, 16, 16]])(folder)


@pytest.mark.parametrize(
    "name", ["gzip", "raw", "jpeg", "png", "brotli", "shards", "labels", "copies"]
)
def test_undamaged_it_is_sound(sound, name):
    assert_sound(sound / name)


# --- actions


def top(**fields) -> Action:
    """Change fields of `info`; None takes one away."""

    def action(volume: Path) -> None:
        document = json.loads((volume / "info").read_text())
        merged = {k: v for k, v in (document | fields).items() if v is not None}
        (volume / "info").write_text(json.dumps(merged))

    return action


def scale(number: int = 0, **fields) -> Action:
    """Change fields of a scale; None takes one away."""

    def action(volume: Path) -> None:
        document = json.loads((volume / "info").read_text())
        entry = document["scales"][number] | fields
        document["scales"][number] = {k: v for k, v in entry.items() if v is not None}
        (volume / "info").write_text(json.dumps(document))

    return action


def both(*actions: Action) -> Action:
    """Do one thing after the other."""

    def action(volume: Path) -> None:
        for one in actions:
            one(volume)

    return action


def hide_all(volume: Path) -> None:
    """Hide every scale."""
    for number in range(len(json.loads((volume / "info").read_text())["scales"])):
        scale(number, hidden=True)(volume)


def misname_shards(volume: Path) -> None:
    """Store a shard's bytes under another's name."""
    one, two, *_ = sorted((volume / KEY).glob("*.shard"))
    shutil.copy(one, two)


def sharded(**fields) -> Action:
    """Change how shards are said to be."""

    def action(volume: Path) -> None:
        document = json.loads((volume / "info").read_text())
        document["scales"][0]["sharding"] |= fields
        (volume / "info").write_text(json.dumps(document))

    return action


def text(name: str, words: str) -> Action:
    return lambda volume: (volume / name).write_text(words) and None


def first(volume: Path) -> Path:
    """The first chunk of scale 0."""
    return min((volume / KEY).glob("0-16_0-16_0-8*"))


def change(edit: Callable[[bytes], bytes]) -> Action:
    """Change a chunk's stored bytes."""
    return lambda volume: first(volume).write_bytes(edit(first(volume).read_bytes())) and None


def voxels(edit: Callable[[bytearray], object]) -> Action:
    """Change a gzipped chunk's voxels."""

    def action(volume: Path) -> None:
        raw = bytearray(gzip.decompress(first(volume).read_bytes()))
        edit(raw)
        first(volume).write_bytes(gzip.compress(bytes(raw), mtime=0))
        shutil.rmtree(volume / ".zblocks" / "receipts")

    return action


def jpeg(image: np.ndarray, quality: int = 90) -> bytes:
    space = "GRAY" if image.ndim == 2 or image.shape[2] == 1 else "RGB"
    return simplejpeg.encode_jpeg(image.reshape(*image.shape[:2], -1), quality, space, "444")


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "png")
    return out.getvalue()


def wide(data: bytes) -> bytes:
    """A JPEG that says to be 65,000 pixels wide and high."""
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", 65000, 65000) + data[at + 4 :]


def packed(ending: str, data: bytes) -> Action:
    """Store the first chunk with the ending of another packing."""

    def action(volume: Path) -> None:
        path = first(volume)
        (path.parent / ("0-16_0-16_0-8" + ending)).write_bytes(data)
        if path.name != "0-16_0-16_0-8" + ending:
            path.unlink()
        shutil.rmtree(volume / ".zblocks" / "receipts", ignore_errors=True)

    return action


def exchanged(one: str, other: str) -> Action:
    """Store one chunk's bytes under another's name, without receipts."""
    return both(
        lambda volume: shutil.copy(volume / one, volume / other) and None,
        lambda volume: shutil.rmtree(volume / ".zblocks" / "receipts"),
    )


def black(name: str) -> Action:
    """Store a black JPEG of a chunk's size."""

    def action(volume: Path) -> None:
        path = volume / name
        height, width, *_ = simplejpeg.decode_jpeg_header(path.read_bytes())
        path.write_bytes(jpeg(np.zeros((height, width), np.uint8)))
        shutil.rmtree(volume / ".zblocks" / "receipts")

    return action


def lose_last_scale(volume: Path) -> None:
    document = json.loads((volume / "info").read_text())
    document["scales"].pop()
    (volume / "info").write_text(json.dumps(document))


def null_sharding(volume: Path) -> None:
    """What the viewer's parser refuses, though tensorstore doesn't."""
    document = json.loads((volume / "info").read_text())
    document["scales"][0]["sharding"] = None
    (volume / "info").write_text(json.dumps(document))


def double_resolutions(volume: Path) -> None:
    document = json.loads((volume / "info").read_text())
    for entry in document["scales"]:
        entry["resolution"] = [2 * r for r in entry["resolution"]]
    (volume / "info").write_text(json.dumps(document))


def claim(axis: int) -> Action:
    """Let scale 0 claim so many chunks along each axis."""

    def action(volume: Path) -> None:
        entry = json.loads((volume / "info").read_text())["scales"][0]
        scale(size=[axis * c for c in entry["chunk_sizes"][0]])(volume)

    return action


def document(name: str, **fields) -> Action:
    """Change fields of a document of zblocks."""

    def action(volume: Path) -> None:
        path = min(volume.glob(name))
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return action


def garble(name: str, words: str) -> Action:
    return lambda volume: min(volume.glob(name)).write_text(words) and None


def rename(new: str) -> Action:
    return lambda volume: first(volume).rename(volume / KEY / new) and None


def add(name: str, data: bytes = b"x") -> Action:
    return lambda volume: (volume / KEY / name).write_bytes(data) and None


def swap(a: str, b: str) -> Action:
    """Exchange two chunks."""

    def action(volume: Path) -> None:
        one, two = volume / KEY / a, volume / KEY / b
        x, y = one.read_bytes(), two.read_bytes()
        one.write_bytes(y)
        two.write_bytes(x)
        shutil.rmtree(volume / ".zblocks" / "receipts")

    return action


def shard(volume: Path) -> Path:
    return min((volume / KEY).glob("*.shard"))


def on_shard(edit: Callable[[bytes], bytes]) -> Action:
    """Change a shard's bytes."""
    return lambda volume: shard(volume).write_bytes(edit(shard(volume).read_bytes())) and None


def on_index(edit: Callable[[np.ndarray], np.ndarray | bytes]) -> Action:
    """Change the only minishard index of a shard: rows of ids, starts, sizes (as stored)."""

    def change_one(data: bytes) -> bytes:
        start, end = struct.unpack_from("<QQ", data)
        rows = np.frombuffer(gzip.decompress(data[16 + start : 16 + end]), "<u8").reshape(3, -1)
        new = edit(rows.copy())
        packed = gzip.compress(new if isinstance(new, bytes) else new.astype("<u8").tobytes())
        return struct.pack("<QQ", start, start + len(packed)) + data[16 : 16 + start] + packed

    return on_shard(change_one)


def put(row: int, column: int, value: int) -> Callable[[np.ndarray], np.ndarray]:
    def edit(rows: np.ndarray) -> np.ndarray:
        rows[row, column] = value
        return rows

    return edit


def coarse_zeros(volume: Path) -> None:
    """A coarse chunk of zeros, as if it had never been filled."""
    path = min((volume / "8_8_8").iterdir())
    path.write_bytes(gzip.compress(bytes(len(gzip.decompress(path.read_bytes()))), mtime=0))
    shutil.rmtree(volume / ".zblocks" / "receipts")


def truncated_mean(volume: Path) -> None:
    """A coarse voxel one too dark, as tools that truncate make it."""
    path = min((volume / "8_8_8").iterdir())
    raw = bytearray(gzip.decompress(path.read_bytes()))
    raw[100] = max(raw[100], 1) - 1 if raw[100] else 1
    path.write_bytes(gzip.compress(bytes(raw), mtime=0))
    shutil.rmtree(volume / ".zblocks" / "receipts")


def shifted(volume: Path) -> None:
    """All chunks of a layer hold the next layer: slices shifted in z."""
    for path in sorted((volume / KEY).glob("*_0-8.gz")):
        path.write_bytes((volume / KEY / path.name.replace("_0-8.", "_8-16.")).read_bytes())
    shutil.rmtree(volume / ".zblocks" / "receipts")


def tail_lost(volume: Path) -> None:
    """Scale 1 ends a voxel early, as when offset and size are halved apart."""
    document = json.loads((volume / "info").read_text())
    document["scales"][1]["size"][0] -= 1
    (volume / "info").write_text(json.dumps(document))


def lose(pattern: str) -> Action:
    return lambda volume: min((volume / KEY).glob(pattern)).unlink()


SHARDING = "neuroglancer_uint64_sharded_v1"
DAMAGES = {
    # info
    "info is cut": Damage("gzip", "info-not-json", text("info", '{"scales": [')),
    "info is a list": Damage("gzip", "info-not-object", text("info", "[]")),
    "another @type": Damage("gzip", "bad-@type", top(**{"@type": "precomputed"})),
    "another layer type": Damage("gzip", "bad-type", top(type="picture")),
    "float64": Damage("gzip", "bad-data-type", top(data_type="float64")),
    "no channels": Damage("gzip", "bad-num-channels", top(num_channels=0)),
    "labels of float": Damage(
        "gzip", "float-labels", top(type="segmentation", data_type="float32")
    ),
    "labels of 3 channels": Damage("labels", "label-channels", top(num_channels=3)),
    "a mesh of an image": Damage("gzip", "misplaced-field", top(mesh="mesh")),
    "no scales": Damage("gzip", "no-scales", top(scales=[])),
    "a scale that is text": Damage("gzip", "bad-scale", top(scales=["4_4_4"])),
    "every scale hidden": Damage("gzip", "nothing-visible", hide_all),
    "no key": Damage("gzip", "bad-key", scale(key=None)),
    "a key that leaves the volume": Damage("gzip", "key-outside", scale(key="../x")),
    "one key twice": Damage("gzip", "duplicate-key", scale(1, key=KEY)),
    "a size of 0": Damage("gzip", "bad-size", scale(size=[53, 0, 37])),
    "a resolution of 0": Damage("gzip", "bad-resolution", scale(resolution=[4, 4, 0])),
    "half a voxel of offset": Damage("gzip", "bad-offset", scale(voxel_offset=[0.5, 0, 0])),
    "no chunk size": Damage("gzip", "bad-chunk-sizes", scale(chunk_sizes=[])),
    "two chunk sizes of shards": Damage(
        "shards", "sharded-chunk-sizes", scale(chunk_sizes=[[16, 16, 8], [8, 8, 8]])
    ),
    "an encoding of a fork": Damage("gzip", "bad-encoding", scale(encoding="fpzip")),
    "16 bits as JPEG": Damage(
        "gzip",
        "encoding-misfit",
        both(top(data_type="uint16"), scale(encoding="jpeg")),
    ),
    "no block size": Damage(
        "labels", "bad-block-size", scale(compressed_segmentation_block_size=None)
    ),
    "a quality of raw chunks": Damage("gzip", "bad-quality", scale(jpeg_quality=90)),
    "hidden by a word": Damage("gzip", "bad-hidden", scale(hidden="no")),
    "scales in the wrong order": Damage("gzip", "scale-order", scale(1, resolution=[2, 2, 2])),
    "a scale that lies elsewhere": Damage(
        "gzip", "scale-misplaced", scale(1, voxel_offset=[9, 0, 0])
    ),
    "a scale that ends early": Damage("gzip", "scale-cover", tail_lost),
    "info is nested without end": Damage("gzip", "info-not-json", text("info", "[" * 200_000)),
    "info of NaN": Damage("gzip", "info-not-json", text("info", '{"num_channels": NaN}')),
    "info in UTF-16": Damage(
        "gzip",
        "info-not-json",
        lambda volume: (volume / "info").write_bytes("{}".encode("utf-16")) and None,
    ),
    "a number of 400 digits": Damage("gzip", "bad-size", scale(size=[10**400, 41, 37])),
    "a resolution of Infinity": Damage("gzip", "info-not-json", scale(resolution=[1e999, 4, 4])),
    "a resolution of 400 digits": Damage(
        "gzip", "bad-resolution", scale(resolution=[10**400, 4, 4])
    ),
    "channels that are a list": Damage("gzip", "bad-num-channels", top(num_channels=[1])),
    "a type that is a list": Damage("gzip", "bad-type", top(type=["image"])),
    "an encoding that is a list": Damage("gzip", "bad-encoding", scale(encoding=["raw"])),
    "a key in another place": Damage("gzip", "key-outside", scale(key="a/../../x")),
    "a key of zblocks itself": Damage("gzip", "bad-key", scale(key=".zblocks/x")),
    "a key that is the volume": Damage("gzip", "bad-key", scale(key="./")),
    "chunks that no browser holds": Damage(
        "gzip", "huge-chunks", scale(size=[10**6] * 3, chunk_sizes=[[10**6] * 3])
    ),
    "a grid far larger than what is there": Damage("gzip", "grid-too-large", claim(10**7)),
    "a grid of shards far larger": Damage("shards", "grid-too-large", claim(10**6)),
    "chunk ids of 70 bits": Damage("shards", "grid-too-large", claim(10**7)),
    "the last scale is left out": Damage("gzip", "info-differs", lose_last_scale),
    "every resolution is doubled": Damage("gzip", "info-differs", double_resolutions),
    "another quality of JPEG": Damage("jpeg", "info-differs", scale(1, jpeg_quality=50)),
    # unsharded chunks
    "a chunk is lost": Damage("gzip", "missing-chunk", lose("16-32_*")),
    "the last chunk is lost": Damage("gzip", "missing-chunk", lose("48-53_32-41_32-37*")),
    "a raw chunk is cut": Damage("raw", "bad-chunk", change(lambda d: d[:-1])),
    "a raw chunk is too long": Damage("raw", "bad-chunk", change(lambda d: d + b"\0")),
    "an empty chunk": Damage("raw", "bad-chunk", change(lambda _: b"")),
    "a gzipped chunk is cut": Damage("gzip", "bad-chunk", change(lambda d: d[:-9])),
    "a bit of a gzipped chunk flipped": Damage(
        "gzip", "bad-chunk", change(lambda d: d[:60] + bytes([d[60] ^ 8]) + d[61:])
    ),
    "a gzipped chunk isn't gzipped": Damage("gzip", "bad-chunk", change(gzip.decompress)),
    "gzipped twice": Damage("gzip", "bad-chunk", change(gzip.compress)),
    "bytes after the gzip stream": Damage("gzip", "bad-chunk", change(lambda d: d + b"more")),
    "a gzip bomb": Damage("gzip", "bad-chunk", change(lambda _: gzip.compress(bytes(10**8)))),
    "a JPEG chunk is cut": Damage("jpeg", "bad-chunk", change(lambda d: d[:40])),
    "a JPEG chunk is raw": Damage("jpeg", "bad-chunk", change(lambda _: bytes(2048))),
    "a colour JPEG in a grey volume": Damage(
        "jpeg", "bad-chunk", change(lambda _: jpeg(np.zeros((128, 16, 3), np.uint8)))
    ),
    "a JPEG of another size": Damage(
        "jpeg", "bad-chunk", change(lambda _: jpeg(np.zeros((64, 16), np.uint8)))
    ),
    "a JPEG bomb": Damage("jpeg", "bad-chunk", change(wide)),
    "a PNG in a JPEG volume": Damage(
        "jpeg", "bad-chunk", change(lambda _: png(Image.new("L", (16, 128))))
    ),
    "a colour PNG in a grey volume": Damage(
        "png", "bad-chunk", change(lambda _: png(Image.new("RGB", (16, 128))))
    ),
    "a PNG of 16 bits in a volume of 8": Damage(
        "png", "bad-chunk", change(lambda _: png(Image.new("I;16", (16, 128))))
    ),
    "a PNG of 1 bit": Damage("png", "bad-chunk", change(lambda _: png(Image.new("1", (16, 128))))),
    "a PNG with a palette": Damage(
        "png", "bad-chunk", change(lambda _: png(Image.new("P", (16, 128))))
    ),
    "a PNG is cut": Damage("png", "bad-chunk", change(lambda d: d[: len(d) // 2])),
    "a PNG ends in its header": Damage("png", "bad-chunk", change(lambda d: d[:20])),
    "a brotli chunk is cut": Damage("brotli", "bad-chunk", change(lambda d: d[:-5])),
    "bytes after the brotli stream": Damage("brotli", "bad-chunk", change(lambda d: d + b"more")),
    "a brotli bomb": Damage(
        "brotli", "bad-chunk", change(lambda _: brotli.compress(bytes(10**8), quality=5))
    ),
    "a zstd chunk that is none": Damage("gzip", "bad-chunk", packed(".zstd", b"not zstd at all")),
    "a zstd chunk is cut": Damage(
        "gzip", "bad-chunk", packed(".zstd", zstandard.compress(bytes(range(256)) * 8)[:-9])
    ),
    "a zstd bomb": Damage("gzip", "bad-chunk", packed(".zstd", zstandard.compress(bytes(10**8)))),
    "a file of megabytes in a chunk's place": Damage(
        "raw", "bad-chunk", change(lambda _: bytes(10**7))
    ),
    "a chunk of the second size is lost": Damage("copies", "missing-chunk", lose("32-53_*_0-16")),
    "a chunk of the second size differs": Damage(
        "copies",
        "copy-differs",
        lambda volume: (volume / KEY / "0-32_0-16_0-16").write_bytes(bytes(32 * 16 * 16)) and None,
    ),
    "a chunk of a third size": Damage("copies", "off-grid-chunk", add("0-8_0-8_0-8")),
    "labels are cut": Damage("labels", "bad-chunk", change(lambda d: d[:3])),
    "labels are cut in a block": Damage("labels", "bad-chunk", change(lambda d: d[:44])),
    "labels beyond their table": Damage(
        "labels", "bad-chunk", change(lambda d: d[:4] + b"\xff\xff\xff" + d[7:])
    ),
    "labels of 3 bits": Damage("labels", "bad-chunk", change(lambda d: d[:7] + b"\x03" + d[8:])),
    "a chunk is there twice": Damage("gzip", "duplicate-chunk", add("0-16_0-16_0-8")),
    "a chunk of another grid": Damage("gzip", "off-grid-chunk", add("0-32_0-32_0-16.gz")),
    "a chunk beyond the volume": Damage("gzip", "off-grid-chunk", add("64-80_0-16_0-8.gz")),
    "an edge chunk that isn't clipped": Damage("gzip", "off-grid-chunk", add("48-64_0-16_0-8.gz")),
    "a file that is no chunk": Damage("gzip", "stray-object", add("Thumbs.db")),
    # voxels
    "a black JPEG": Damage("jpeg", "scale-differs", black(f"{KEY}/0-16_0-16_0-8")),
    "a black JPEG of a coarser scale": Damage(
        "jpeg", "scale-differs", black("8_8_8/0-16_0-16_0-8")
    ),
    "a JPEG chunk of its neighbour": Damage(
        "jpeg", "scale-differs", exchanged(f"{KEY}/16-32_0-16_0-8", f"{KEY}/0-16_0-16_0-8")
    ),
    "a coarse JPEG chunk of the next layer": Damage(
        "jpeg", "scale-differs", exchanged("8_8_8/0-16_0-16_8-16", "8_8_8/0-16_0-16_0-8")
    ),
    "a voxel is off by one": Damage(
        "gzip",
        "scale-differs",
        voxels(lambda raw: [raw.__setitem__(i, raw[i] ^ 128) for i in range(64)]),
    ),
    "a chunk of zeros": Damage(
        "gzip", "scale-differs", voxels(lambda raw: raw.__setitem__(slice(None), bytes(len(raw))))
    ),
    "two chunks exchanged": Damage(
        "gzip", "scale-differs", swap("0-16_0-16_0-8.gz", "16-32_0-16_0-8.gz")
    ),
    "a layer shifted in z": Damage("gzip", "scale-differs", shifted),
    "a coarse chunk of zeros": Damage("gzip", "scale-differs", coarse_zeros),
    "a mean that was truncated": Damage("gzip", "scale-differs", truncated_mean),
    "another compression than receipted": Damage(
        "gzip", "receipt-differs", change(lambda d: gzip.compress(gzip.decompress(d), 9))
    ),
    # shards
    "sharding of nothing": Damage("gzip", "sharding-type", scale(sharding={})),
    "sharding: false": Damage("gzip", "sharding-type", scale(sharding=False)),
    "sharding: null": Damage("gzip", "sharding-type", null_sharding),
    "a stray beside shards": Damage("shards", "stray-object", add("0-8_0-8_0-4")),
    "a minishard index bomb": Damage(
        "shards", "minishard-index", on_index(lambda _: bytes(24 * 10**6))
    ),
    "a chunk of no bytes": Damage("shards", "missing-chunk", on_index(put(2, -1, 0))),
    "a hash that strews": Damage("shards", "chunk-misplaced", sharded(hash="murmurhash3_x86_128")),
    "another kind of shards": Damage("shards", "sharding-type", sharded(**{"@type": "v2"})),
    "another hash": Damage("shards", "sharding-hash", sharded(hash="md5")),
    "65 bits": Damage("shards", "sharding-bits", sharded(shard_bits=65)),
    "shards of brotli": Damage("shards", "sharding-encoding", sharded(data_encoding="br")),
    "a shard is lost": Damage("shards", "missing-chunk", lose("*.shard")),
    "a shard shorter than its index": Damage("shards", "short-shard", on_shard(lambda d: d[:15])),
    "a shard is cut": Damage("shards", "minishard-range", on_shard(lambda d: d[:-20])),
    "a minishard ends before it begins": Damage(
        "shards", "minishard-range", on_shard(lambda d: struct.pack("<QQ", 90, 80) + d[16:])
    ),
    "a minishard index that isn't gzipped": Damage(
        "shards",
        "minishard-index",
        on_shard(lambda d: d[:-40] + bytes(40)),
    ),
    "a minishard index of 25 bytes": Damage(
        "shards", "minishard-index", on_index(lambda _: bytes(25))
    ),
    "a chunk beyond the grid": Damage("shards", "chunk-outside", on_index(put(0, -1, 10**6))),
    "a chunk listed twice": Damage("shards", "chunk-twice", on_index(put(0, 1, 0))),
    "a chunk beyond the file": Damage("shards", "chunk-range", on_index(put(2, -1, 10**9))),
    "two chunks that share bytes": Damage(
        "shards", "shard-overlap", on_index(put(1, 1, 2**64 - 40))
    ),
    "a chunk missing from its shard": Damage(
        "shards", "missing-chunk", on_index(lambda r: r[:, :-1])
    ),
    "a chunk of a shard is spoilt": Damage(
        "shards", "bad-chunk", on_shard(lambda d: d[:16] + bytes(30) + d[46:])
    ),
    "the wrong minishard bits": Damage("shards", "short-shard", sharded(minishard_bits=40)),
    "shards under each other's names": Damage(
        "shards",
        "chunk-misplaced",
        misname_shards,
    ),
    "a shard that no grid has": Damage("shards", "stray-object", add("ffff.shard")),
    "the old pair of files": Damage("shards", "obsolete-shard", add("0.index")),
    # documents
    "provenance is cut": Damage("gzip", "provenance-not-json", text("provenance", "{")),
    "provenance is a list": Damage("gzip", "bad-holes", text("provenance", "[]")),
    "provenance is nested without end": Damage(
        "gzip", "provenance-not-json", text("provenance", "[" * 200_000)
    ),
    "provenance is not UTF-8": Damage(
        "gzip",
        "provenance-not-json",
        lambda volume: (volume / "provenance").write_bytes(b"\xff\xfe{") and None,
    ),
    "the plan is cut": Damage("gzip", "plan-unreadable", garble(".zblocks/plan.json", '{"ver')),
    "the plan is a list": Damage("gzip", "plan-unreadable", garble(".zblocks/plan.json", "[1]")),
    "a plan of no scales": Damage(
        "gzip",
        "plan-unreadable",
        document(".zblocks/plan.json", volume={"layer": "image", "scales": []}),
    ),
    "a plan of wrong types": Damage(
        "gzip", "plan-unreadable", document(".zblocks/plan.json", volume="grey", coarse_stages=7)
    ),
    "a receipt is cut": Damage(
        "gzip", "receipt-unreadable", garble(".zblocks/receipts/*", '{"version": 1, "obj')
    ),
    "a receipt of wrong types": Damage(
        "gzip", "receipt-unreadable", document(".zblocks/receipts/*", objects=[["a", "b", "c", 1]])
    ),
    "a receipt of objects elsewhere": Damage(
        "gzip",
        "receipt-unreadable",
        document(".zblocks/receipts/*", objects=[["../../x", 1, 1, ""]]),
    ),
    "a receipt that is a number": Damage(
        "gzip", "receipt-unreadable", garble(".zblocks/receipts/*", "7")
    ),
    "a receipted object is lost": Damage("gzip", "receipt-differs", lose("16-32_*")),
    "a brotli chunk packed anew": Damage(
        "brotli",
        "receipt-differs",
        change(lambda d: brotli.compress(brotli.decompress(d), quality=1)),
    ),
    "holes that can't be read": Damage("gzip", "bad-holes", text("provenance", '{"holes": [1]}')),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_it_is_found_and_called_by_its_name(sound, tmp_path, name):
    damage = DAMAGES[name]
    volume = tmp_path / "v"
    shutil.copytree(sound / damage.volume, volume)
    damage.action(volume)
    code, found = verify(volume)
    assert code == 1
    assert damage.kind in found["counts"]
    assert all(p["message"] and p["remedy"] for p in found["problems"])


# --- in a bucket


def upload(cloud, folder: Path) -> None:
    """Put a volume's files into a bucket as objects with a Content-Encoding."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        packing = {".gz": "gzip", ".br": "br"}.get(path.suffix, "")
        key = f"v/{path.relative_to(folder)}".removesuffix(path.suffix if packing else "")
        store(cloud, key, path.read_bytes(), packing)


def store(cloud, key: str, data: bytes, packing: str = "") -> None:
    cloud.put("volumes", key, data, packing)


def stored(cloud, key: str) -> bytes:
    return cloud.s3.get_object(Bucket="volumes", Key=key)["Body"].read()


def again(key: str, packing: str, edit: Callable[[bytes], bytes] = bytes, new: str = ""):
    """Store an object under another Content-Encoding, edited, or under another name."""
    return lambda cloud: store(cloud, new or key, edit(stored(cloud, key)), packing)


CHUNK = f"v/{KEY}/0-16_0-16_0-8"
BUCKET = {
    "no Content-Encoding of a gzipped chunk": ("gzip", "bad-chunk", again(CHUNK, "")),
    "gzip of a chunk that isn't": ("raw", "bad-chunk", again(CHUNK, "gzip")),
    "two Content-Encodings": ("gzip", "bad-chunk", again(CHUNK, "gzip,gzip")),
    "gzipped by the client once more": ("gzip", "bad-chunk", again(CHUNK, "gzip", gzip.compress)),
    "a Content-Encoding that nobody knows": ("gzip", "bad-chunk", again(CHUNK, "lzma")),
    "deflate": ("raw", "bad-chunk", again(CHUNK, "deflate")),
    "zstd of a chunk that isn't": ("gzip", "bad-chunk", again(CHUNK, "zstd")),
    "brotli of a chunk that is gzipped": ("gzip", "bad-chunk", again(CHUNK, "br")),
    "an object that is cut": ("gzip", "bad-chunk", again(CHUNK, "gzip", lambda d: d[:-9])),
    "an object of no bytes": ("gzip", "bad-chunk", again(CHUNK, "gzip", lambda _: b"")),
    "a name with .gz": (
        "gzip", "ending-in-bucket", again(CHUNK, "gzip", new=f"v/{KEY}/16-32_0-16_0-8.gz"),
    ),
    "gzip of a shard": ("shards", "shard-content-encoding", again(f"v/{KEY}/0.shard", "gzip")),
    "a shard that is cut": (
        "shards", "minishard-range", again(f"v/{KEY}/0.shard", "", lambda d: d[:-9]),
    ),
    "a folder's marker with bytes": (
        "gzip", "stray-object", lambda cloud: store(cloud, f"v/{KEY}/", b"?"),
    ),
    "gzip of an info that isn't": ("gzip", "info-encoding", again("v/info", "gzip")),
    "no Content-Encoding of a gzipped info": (
        "gzip", "info-not-json", again("v/info", "", gzip.compress),
    ),
    "a provenance of two encodings": (
        "gzip", "provenance-not-json", again("v/provenance", "gzip,gzip"),
    ),
    "a plan that isn't gzipped": (
        "gzip", "plan-unreadable", again("v/.zblocks/plan.json", "gzip"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BUCKET)
def test_in_a_bucket_it_is_found_and_called_by_its_name(sound, cloud, name):
    volume, kind, action = BUCKET[name]
    upload(cloud, sound / volume)
    action(cloud)
    code, found = verify("s3://volumes/v")
    assert code == 1
    assert kind in found["counts"]
    assert all(p["message"] and p["remedy"] for p in found["problems"])


LEGAL = {
    "as it is": ("gzip", lambda cloud: None),
    "markers of folders": (
        "shards", lambda cloud: [store(cloud, f"v/{k}", b"") for k in ("", f"{KEY}/", "8_8_8/")],
    ),
    "markers beside chunks": ("gzip", lambda cloud: store(cloud, f"v/{KEY}/", b"")),
    "upper case": ("gzip", again(CHUNK, "GZIP")),
    "an older name of gzip": ("gzip", again(CHUNK, "x-gzip")),
    "identity": ("raw", again(CHUNK, "identity")),
    "documents that are gzipped": (
        "gzip",
        lambda cloud: [
            again(f"v/{k}", "gzip", gzip.compress)(cloud)
            for k in ("info", "provenance", ".zblocks/plan.json")
        ],
    ),
    "brotli": ("brotli", lambda cloud: None),
}  # fmt: skip


@pytest.mark.parametrize("name", LEGAL)
def test_in_a_bucket_what_is_legal_is_sound(sound, cloud, name):
    volume, action = LEGAL[name]
    upload(cloud, sound / volume)
    action(cloud)
    assert_sound("s3://volumes/v")


def test_there_are_many_kinds():
    assert len(DAMAGES) >= 40
    assert len({d.kind for d in DAMAGES.values()}) >= 40
