"""The tables of docs/formats.md, made from the two registries of formats."""

from __future__ import annotations

from collections.abc import Iterable

from tests.formats.outputs import ENCODINGS, Encoding
from tests.formats.registry import INPUTS, InputKind

FORMATS = {
    "JPEG": ("JPEG",),
    "PNG": ("PNG",),
    "TIFF, BigTIFF, OME-TIFF": ("TIFF", "BigTIFF", "OME-TIFF"),
    "JPEG 2000": ("JP2", "JPEG 2000"),
    "BMP": ("BMP",),
    "WebP": ("WebP",),
}
"""First words of the kinds of a format."""

COLOURS = ("grey", "RGB", "alpha", "CMYK", "palette")
CODECS = {"lzw": "LZW", "zlib": "deflate", "packbits": "PackBits", "zstd": "zstd", "lzma": "LZMA",
          "JPEG": "JPEG", "JPEG 2000": "JPEG 2000", "fax": "fax"}  # fmt: skip
LAYOUTS = ("progressive", "interlaced", "lossless", "codestream", "strips", "tiles", "planar",
           "big-endian", "predictor", "white is zero", "pages", "pyramid")  # fmt: skip


def kinds_of(words: tuple[str, ...]) -> list[InputKind]:
    """Return the kinds of a format."""
    longer = [w for some in FORMATS.values() for w in some]
    return [
        k for k in INPUTS.values()
        if max((w for w in longer if k.name.startswith(w)), key=len) in words
    ]  # fmt: skip


def bits_of(kinds: Iterable[InputKind]) -> str:
    """Name the samples: whole numbers, then floats."""
    found = {(k.of[0].startswith("float"), k.bits) for k in kinds}
    whole = ", ".join(str(b) for is_float, b in sorted(found) if not is_float)
    floats = ", ".join(f"float{b}" for is_float, b in sorted(found) if is_float)
    return f"{whole}; {floats}" if floats else whole


def seen(words: Iterable[str], kinds: Iterable[InputKind]) -> list[str]:
    """Return the words that the names of kinds have in them."""
    names = " | ".join(k.name.split(" ", 1)[1] if " " in k.name else "" for k in kinds)
    return [w for w in words if w.lower() in names.lower()]


def slices_row(name: str, kinds: list[InputKind]) -> str:
    """Return a format's row."""
    colours = seen(COLOURS, kinds) or ["RGB"]
    codecs = [CODECS[c] for c in seen(CODECS, kinds)] if name.startswith("TIFF") else []
    notes = [*codecs, *seen(LAYOUTS, kinds)]
    whole = [k for k in kinds if not k.streams]
    if len(whole) == len(kinds):
        notes.append("decoded whole")
    elif whole:
        streamed = " | ".join(k.name for k in kinds if k.streams)
        odd = [
            w
            for w in (*LAYOUTS, "palette of labels")
            if w not in streamed and any(w in k.name for k in whole)
        ]
        notes = [n for n in notes if n not in odd]
        notes.append(f"decoded whole: {', '.join(odd) or 'others'}")
    return f"| {name} | {bits_of(kinds)} | {', '.join(colours)} | {', '.join(notes)} |"


def chunks_row(encoding: Encoding) -> str:
    """Return an encoding's row."""
    channels = "any" if encoding.channels is None else ", ".join(map(str, encoding.channels))
    layers = {("image", "segmentation"): "images, labels", ("image",): "images"}
    compression = ", ".join(f"`{c}`" for c in encoding.compressions) or "none (already compressed)"
    kept = "lossless" if encoding.lossless else "lossy"
    return (
        f"| `{encoding.name}` | {layers.get(encoding.layers, 'labels')} | "
        f"{', '.join(encoding.dtypes)} | {channels}{encoding.note} | {kept} | {compression} |"
    )


def slices_table() -> str:
    """Return a row for each image format that slices may have."""
    rows = ["| format | bits per sample | colours | variants |", "|---|---|---|---|"]
    rows += [slices_row(name, kinds_of(words)) for name, words in FORMATS.items()]
    return "\n".join(rows)


def chunks_table() -> str:
    """Return a row for each encoding of chunks."""
    rows = ["| encoding | layers | types of slices | channels | voxels | compression |",
            "|---|---|---|---|---|---|"]  # fmt: skip
    return "\n".join([*rows, *map(chunks_row, ENCODINGS.values())])
