"""Parses the document of a Zarr version 3 array, written by any tool.

Format: Zarr core specification, version 3, and its codecs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from zblocks.compression import MissingDecoderError
from zblocks.omezarr.codecs import UNPACK, ChunkCodec
from zblocks.omezarr.fields import DATA_TYPES, FieldError, get_list, get_sizes, parse_fill
from zblocks.omezarr.stored import ShardFormat, StoredArray


def parse_v3(path: str, axes: str, document: Any) -> StoredArray:
    """Parse an array's `zarr.json`; `axes` are its letters.

    Raises FieldError: a field is missing or wrong; MissingDecoderError: we can't read it.
    """
    if not isinstance(document, dict):
        raise FieldError("document", "is not a JSON object")
    if document.get("zarr_format") != 3:
        raise FieldError("zarr_format", f"is {document.get('zarr_format')!r:.100}")
    if document.get("node_type") != "array":
        raise FieldError("node_type", f"is {document.get('node_type')!r:.100}, not an array")
    shape = get_sizes(document, "shape", len(axes))
    dtype = document.get("data_type")
    if not isinstance(dtype, str) or dtype not in DATA_TYPES:
        raise FieldError("data_type", f"is {dtype!r:.100}")
    grid = _configured(document.get("chunk_grid"), "chunk_grid", "regular")
    chunk, shards = get_sizes(grid, "chunk_shape", len(axes)), None
    codecs = get_list(document, "codecs")
    if len(codecs) == 1 and _name(codecs[0], "codecs") == "sharding_indexed":
        chunk, shards, codecs = _parse_sharding(codecs[0], chunk)
    if document.get("storage_transformers"):
        raise MissingDecoderError(f"storage transformers {document['storage_transformers']!r:.100}")
    prefix, separator = _parse_keys(document.get("chunk_key_encoding"))
    fill = parse_fill(document.get("fill_value"), np.dtype(dtype))
    codec = parse_codecs(codecs, np.dtype(dtype), len(axes))
    return StoredArray(path, axes, shape, chunk, codec, fill, prefix, separator, shards)


def parse_codecs(codecs: Sequence[Any], dtype: np.dtype[Any], rank: int) -> ChunkCodec:
    """Parse the codecs of a chunk, as `parse_v3`."""
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
    chunk = get_sizes(given, "chunk_shape", len(shard))
    if any(s % c for s, c in zip(shard, chunk, strict=True)):
        text = f"cut shards of {list(shard)} into chunks of {list(chunk)}, which don't fit"
        raise FieldError("codecs", text)
    first, *others = get_list(given, "index_codecs") or [None]
    names = [_name(one, "index_codecs") for one in (first, *others)]
    if names not in (["bytes"], ["bytes", "crc32c"]):
        raise MissingDecoderError(f"a shard index of the codecs {names!r:.100}")
    location = given.get("index_location", "end")
    if location not in ("start", "end"):
        raise FieldError("codecs", f"put the index of shards at {location!r:.100}")
    counts = tuple(s // c for s, c in zip(shard, chunk, strict=True))
    layout = ShardFormat(counts, location == "end", _byte_order(first, 8), len(names) == 2)
    return chunk, layout, get_list(given, "codecs")


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
