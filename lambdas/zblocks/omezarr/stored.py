"""A Zarr array as its document describes it, by whatever tool: its grid, keys and codecs.

Format: Zarr core specification, version 3, and its codecs. Axes are named by letters of `tczyx`, in
the order of the array; one that an array lacks has the size 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from zblocks.compression import MissingDecoderError
from zblocks.geometry import Vec, Voxels, ceil_div
from zblocks.omezarr.codecs import CHECKSUM_BYTES, UNPACK, ChunkCodec

Place = tuple[int, ...]
"""A chunk or shard by its indices in their grid, along the axes of the array."""

DATA_TYPES = frozenset(
    f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)
) | {"bool", "float16", "float32", "float64"}  # fmt: skip
SAFE = 2**53  # whole numbers up to this are exact in every reader
LARGEST_CHUNK = 1 << 31  # bytes of a chunk with all channels; a browser can't hold more


class FieldError(ValueError):
    """A field of a document that is missing or wrong."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(f"{field} {text}")
        self.field, self.text = field, text


@dataclass(frozen=True, slots=True)
class ShardFormat:
    """How chunks are packed into shards."""

    chunks: tuple[int, ...]  # of a shard, along the axes of the array
    index_at_end: bool = True
    index_order: str = "<"  # byte order of the index
    index_checksum: bool = True

    @property
    def index_bytes(self) -> int:
        """Bytes of a shard's index, with its checksum."""
        return 16 * prod(self.chunks) + CHECKSUM_BYTES * self.index_checksum


@dataclass(frozen=True, slots=True)
class StoredArray:
    """An array; its shape and that of its chunks are along its axes."""

    path: str  # its folder in the image
    axes: str
    shape: tuple[int, ...]
    chunk: tuple[int, ...]  # of a shard, where there are any
    codec: ChunkCodec
    fill: float  # value of voxels whose chunk is absent
    prefix: str = "c/"  # of the keys of chunks
    separator: str = "/"  # in them
    shards: ShardFormat | None = None

    @property
    def size(self) -> Vec:
        """Voxels, xyz."""
        return self._xyz(self.shape)

    @property
    def chunk_size(self) -> Vec:
        """Voxels of a chunk, xyz."""
        return self._xyz(self.chunk)

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self._along("c", self.shape)

    @property
    def objects(self) -> tuple[int, ...]:
        """Objects along each axis of the array."""
        per = self.shards.chunks if self.shards else (1,) * len(self.shape)
        each = zip(self.shape, self.chunk, per, strict=True)
        return tuple(ceil_div(n, c * p) for n, c, p in each)

    def _along(self, axis: str, sizes: Sequence[int]) -> int:
        return sizes[self.axes.index(axis)] if axis in self.axes else 1

    def _xyz(self, sizes: Sequence[int]) -> Vec:
        return Vec(*(self._along(axis, sizes) for axis in "xyz"))

    def places(self, cell: Vec) -> list[Place]:
        """Return the chunks that hold a cell of the xyz grid, by ascending channels."""
        at = dict(zip("xyz", cell, strict=True))
        each = range(ceil_div(self.channels, self._along("c", self.chunk)))
        return [tuple({**at, "c": c}.get(axis, 0) for axis in self.axes) for c in each]

    def cell(self, place: Place) -> Vec:
        """Return the cell of the xyz grid that a chunk belongs to."""
        return Vec(*(place[self.axes.index(a)] if a in self.axes else 0 for a in "xyz"))

    def key(self, place: Place) -> str:
        """Return the key of an object, a chunk or shard, by its place in their grid."""
        name = self.prefix + self.separator.join(map(str, place))
        return f"{self.path}/{name}" if self.path else name

    def split(self, place: Place) -> tuple[Place, Place]:
        """Return the shard of a chunk, and the chunk's place in it."""
        per = self.shards.chunks if self.shards else (1,) * len(place)
        outer = tuple(n // p for n, p in zip(place, per, strict=True))
        return outer, tuple(n % p for n, p in zip(place, per, strict=True))

    def join(self, chunks: Sequence[npt.NDArray[Any] | None], cell: Vec) -> Voxels:
        """Return the voxels (z, y, x, c) of a cell from its chunks, as `places` names them."""
        whole = [self._voxels(chunk) for chunk in chunks]
        voxels = whole[0] if len(whole) == 1 else np.concatenate(whole, axis=3)
        x, y, z = (
            min(c, n - c * at)
            for n, c, at in zip(self.size, self.chunk_size, cell, strict=True)
        )  # fmt: skip
        return voxels[:z, :y, :x, : self.channels]

    def _voxels(self, chunk: npt.NDArray[Any] | None) -> Voxels:
        if chunk is None:
            chunk = np.full(self.chunk, self.fill, self.codec.dtype.newbyteorder("="))
        first = chunk[tuple(0 if axis == "t" else slice(None) for axis in self.axes)]
        rest = self.axes.replace("t", "")
        voxels = first.transpose([rest.index(a) for a in "zyxc" if a in rest])
        return np.expand_dims(voxels, [n for n, a in enumerate("zyxc") if a not in rest])


def parse_array(path: str, axes: str, document: Any) -> StoredArray:
    """Parse an array's `zarr.json`; `axes` are its letters.

    Raises FieldError: a field is missing or wrong; MissingDecoderError: we can't read it.
    """
    if not isinstance(document, dict):
        raise FieldError("document", "is not a JSON object")
    if document.get("zarr_format") != 3:
        raise FieldError("zarr_format", f"is {document.get('zarr_format')!r:.100}")
    if document.get("node_type") != "array":
        raise FieldError("node_type", f"is {document.get('node_type')!r:.100}, not an array")
    shape = _sizes(document, "shape", len(axes))
    dtype = document.get("data_type")
    if not isinstance(dtype, str) or dtype not in DATA_TYPES:
        raise FieldError("data_type", f"is {dtype!r:.100}")
    grid = _configured(document.get("chunk_grid"), "chunk_grid", "regular")
    chunk, shards = _sizes(grid, "chunk_shape", len(axes)), None
    codecs = _list(document, "codecs")
    if len(codecs) == 1 and _name(codecs[0], "codecs") == "sharding_indexed":
        chunk, shards, codecs = _parse_sharding(codecs[0], chunk)
    prefix, separator = _parse_keys(document.get("chunk_key_encoding"))
    fill = _parse_fill(document.get("fill_value"), np.dtype(dtype))
    codec = parse_codecs(codecs, np.dtype(dtype), len(axes))
    array = StoredArray(path, axes, shape, chunk, codec, fill, prefix, separator, shards)
    held = prod(array.chunk_size) * array.channels * np.dtype(dtype).itemsize
    if max(held, prod(chunk)) > LARGEST_CHUNK:
        text = f"makes chunks of {held} bytes with all channels, more than a reader can hold"
        raise FieldError("chunk_grid", text)
    return array


def parse_codecs(codecs: Sequence[Any], dtype: np.dtype[Any], rank: int) -> ChunkCodec:
    """Parse the codecs of a chunk, as `parse_array`."""
    order, packing = tuple(range(rank)), list[str]()
    stored: np.dtype[Any] | None = None
    for entry in codecs:
        name = _name(entry, "codecs")
        if name == "transpose" and stored is None:
            given = _configured(entry, "codecs", name).get("order")
            if not isinstance(given, list) or sorted(map(str, given)) != list(
                map(str, range(rank))
            ):
                raise FieldError("codecs", f"transpose to the order {given!r:.100}")
            order = tuple(order[axis] for axis in given)
        elif name == "bytes" and stored is None:
            stored = dtype.newbyteorder(_byte_order(entry, dtype.itemsize))
        elif name in UNPACK and stored is not None:
            packing.append(name)
        elif name in ("transpose", "bytes", *UNPACK):
            raise FieldError("codecs", f"have {name} in the wrong place")
        else:
            raise MissingDecoderError(f"codec {name:.100}")
    if stored is None:
        raise FieldError("codecs", "lack bytes, which makes bytes of voxels")
    return ChunkCodec(stored, order, tuple(packing))


def _parse_sharding(
    entry: Any, shard: tuple[int, ...]
) -> tuple[tuple[int, ...], ShardFormat, list[Any]]:
    """Return the size of a chunk, how they are packed, and their codecs."""
    given = _configured(entry, "codecs", "sharding_indexed")
    chunk = _sizes(given, "chunk_shape", len(shard))
    if any(s % c for s, c in zip(shard, chunk, strict=True)):
        text = f"cut shards of {list(shard)} into chunks of {list(chunk)}, which don't fit"
        raise FieldError("codecs", text)
    first, *others = _list(given, "index_codecs") or [None]
    names = [_name(one, "index_codecs") for one in (first, *others)]
    if names not in (["bytes"], ["bytes", "crc32c"]):
        raise MissingDecoderError(f"a shard index of the codecs {names!r:.100}")
    location = given.get("index_location", "end")
    if location not in ("start", "end"):
        raise FieldError("codecs", f"put the index of shards at {location!r:.100}")
    counts = tuple(s // c for s, c in zip(shard, chunk, strict=True))
    layout = ShardFormat(counts, location == "end", _byte_order(first, 8), len(names) == 2)
    return chunk, layout, _list(given, "codecs")


def _byte_order(entry: Any, itemsize: int) -> Literal["<", ">"]:
    """Return numpy's character for the byte order that a codec `bytes` states."""
    given = _configured(entry, "codecs", "bytes").get("endian")
    if given not in ("little", "big") and (itemsize > 1 or given is not None):
        raise FieldError("codecs", f"state the byte order {given!r:.100}")
    return ">" if given == "big" else "<"


def _parse_keys(entry: Any) -> tuple[str, str]:
    """Return what keys of chunks begin with, and their separator."""
    name = _name(entry, "chunk_key_encoding")
    if name not in ("default", "v2"):
        raise FieldError("chunk_key_encoding", f"is {name!r:.100}")
    default = "/" if name == "default" else "."
    separator = _configured(entry, "chunk_key_encoding", name).get("separator", default)
    if separator not in ("/", "."):
        raise FieldError("chunk_key_encoding", f"has the separator {separator!r:.100}")
    return f"c{separator}" if name == "default" else "", str(separator)


WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _parse_fill(value: Any, dtype: np.dtype[Any]) -> float:
    """Return a fill value: a number, or for real numbers a word or hexadecimal bits."""
    if dtype.kind == "f" and isinstance(value, str) and value in WORDS:
        return WORDS[value]
    if dtype.kind == "f" and isinstance(value, str) and value.startswith("0x"):
        try:
            bits = int(value, 16).to_bytes(dtype.itemsize, "little")
        except (ValueError, OverflowError) as error:
            raise FieldError("fill_value", f"is {value!r:.100}") from error
        return float(np.frombuffer(bits, dtype.newbyteorder("<"))[0])
    fits = isinstance(value, bool) if dtype.kind == "b" else is_number(value)
    if fits and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        fits = isinstance(value, int) and limits.min <= value <= limits.max
    if not fits:
        raise FieldError("fill_value", f"is {value!r:.100}, which {dtype} can't hold")
    number: float = value
    return number


def is_number(value: object) -> bool:
    """Return whether a JSON value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _name(entry: Any, field: str) -> str:
    """Return the name of an extension: of an object, or given alone."""
    name = entry.get("name") if isinstance(entry, dict) else entry
    if not isinstance(name, str):
        raise FieldError(field, f"has {entry!r:.100} where a name is expected")
    return name


def _configured(entry: Any, field: str, name: str) -> dict[str, Any]:
    """Return the configuration of an extension, which must have this name."""
    if _name(entry, field) != name:
        raise FieldError(field, f"is {_name(entry, field)!r:.100}, not {name}")
    configuration = entry.get("configuration", {}) if isinstance(entry, dict) else {}
    if not isinstance(configuration, dict):
        raise FieldError(field, f"has the configuration {configuration!r:.100}")
    return configuration


def _list(entry: dict[str, Any], field: str) -> list[Any]:
    value = entry.get(field)
    if not isinstance(value, list):
        raise FieldError(field, f"is {value!r:.100}, not a list")
    return value


def _sizes(entry: dict[str, Any], field: str, rank: int) -> tuple[int, ...]:
    """Return a whole number above 0 for each axis."""
    value = _list(entry, field)
    if len(value) != rank or not all(
        isinstance(n, int) and not isinstance(n, bool) and 0 < n < SAFE for n in value
    ):
        raise FieldError(field, f"is {value!r:.100}, not {rank} whole numbers above 0")
    return tuple(value)
