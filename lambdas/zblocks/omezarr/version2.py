"""Parses the document of a Zarr version 2 array, written by any tool.

Format: Zarr storage specification, version 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zblocks.compression import MissingDecoderError
from zblocks.omezarr.codecs import UNPACK, ChunkCodec
from zblocks.omezarr.fields import DATA_TYPES, FieldError, get_sizes, parse_fill
from zblocks.omezarr.stored import StoredArray


def parse_v2(path: str, axes: str, document: Any) -> StoredArray:
    """Parse an array's `.zarray`; `axes` are its letters.

    Raises FieldError: a field is missing or wrong; MissingDecoderError: we can't read it.
    """
    if not isinstance(document, dict):
        raise FieldError("document", "is not a JSON object")
    if document.get("zarr_format") != 2:
        raise FieldError("zarr_format", f"is {document.get('zarr_format')!r:.100}")
    shape, chunk = (get_sizes(document, name, len(axes)) for name in ("shape", "chunks"))
    dtype = _parse_dtype(document.get("dtype"))
    if document.get("filters"):
        raise MissingDecoderError(f"filters {document['filters']!r:.100}")
    order, separator = document.get("order"), document.get("dimension_separator", ".")
    if order not in ("C", "F"):
        raise FieldError("order", f"is {order!r:.100}, not C or F")
    if separator not in ("/", "."):
        raise FieldError("dimension_separator", f"is {separator!r:.100}")
    ranks = range(len(axes))
    stored = tuple(ranks if order == "C" else reversed(ranks))
    codec = ChunkCodec(dtype, stored, _parse_compressor(document.get("compressor")))
    given = document.get("fill_value")
    fill = 0 if given is None else parse_fill(given, dtype)
    return StoredArray(path, axes, shape, chunk, codec, fill, "", str(separator))


def _parse_dtype(value: Any) -> np.dtype[Any]:
    """Return the type for numpy's notation, such as `<u2`."""
    try:
        dtype = np.dtype(value if isinstance(value, str) and value[:1] in "<>|" else "V")
    except (TypeError, ValueError, SyntaxError):
        dtype = np.dtype("V")
    if dtype.name not in DATA_TYPES:
        raise FieldError("dtype", f"is {value!r:.100}, which is no type of voxels")
    return dtype


def _parse_compressor(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    name = value.get("id") if isinstance(value, dict) else None
    if not isinstance(name, str):
        raise FieldError("compressor", f"is {value!r:.100}")
    if name not in UNPACK or name == "crc32c":
        raise MissingDecoderError(f"compressor {name:.100}")
    return (name,)
