"""Every kind of chunk that zblocks claims to write: what it takes, and who reads it back.

`OUTPUTS` is the one table: tests/flow/test_matrix.py writes each of them from every kind of slice
in tests/formats/registry.py, and docs/formats.md is made from both.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image

from tests.formats.registry import InputKind
from tests.references import read_cloudvolume, read_info, read_tensorstore

QUALITY = 90
"""Of JPEG chunks, by default."""

LAYERS = ("image", "segmentation")


@dataclass(frozen=True)
class Encoding:
    """What an encoding takes."""

    name: str
    dtypes: tuple[str, ...]
    """Of slices."""
    channels: tuple[int, ...] | None
    """None: any."""
    layers: tuple[str, ...]
    lossless: bool = True
    compressions: tuple[str, ...] = ("gzip", "br", "none")
    """What packs it; none for what is packed already."""
    bits: int = 0
    """That it holds, where it refuses more."""
    note: str = ""

    def refusal(self, dtype: str, channels: int) -> str:
        """Return what the error says of such slices; empty for nothing."""
        if dtype not in self.dtypes:
            return f'encoding: "{self.name}" holds {self.bits} bits, the slices are '
        if self.channels and channels not in self.channels:
            some = " or ".join(map(str, self.channels))
            return f'encoding: "{self.name}" holds {some} channels, the slices have {channels}'
        if self.name == "png" and dtype == "uint16" and channels > 1:
            # It takes them apart byte by byte: seen with test_viewer_voxels.py, read in its source
            # (src/sliceview/png/index.ts, transposeArray2d).
            return 'encoding: "png" of 16 bits is for one channel: Neuroglancer mixes up the bytes'
        return ""


@dataclass(frozen=True)
class OutputKind:
    """A kind of volume."""

    encoding: Encoding
    compression: str
    sharding: bool

    @property
    def name(self) -> str:
        parts = [self.encoding.name, self.compression, "sharded" if self.sharding else ""]
        return " ".join(filter(None, parts))

    @property
    def config(self) -> dict[str, Any]:
        """Fields that ask for it."""
        fields = {"encoding": self.encoding.name, "sharding": self.sharding}
        if self.compression:
            fields["compression"] = self.compression
        if self.encoding.layers == ("segmentation",):
            fields["layer_type"] = "segmentation"
        return fields

    @property
    def written(self) -> bool:
        """Whether there is such a volume at all."""
        return not (self.sharding and self.compression == "br")

    @property
    def reader(self) -> str:
        """Who reads it back.

        tensorstore reads no brotli, no compresso, and no side files with the ending .gz.
        """
        packed = self.compression == "br" or (self.compression == "gzip" and not self.sharding)
        return "cloud-volume" if packed or self.encoding.name == "compresso" else "tensorstore"

    def layer(self, kind: InputKind) -> str:
        """Return the type of layer that a kind of slice becomes."""
        asked: str = {**kind.config, **self.config}.get("layer_type", "image")
        return asked

    def refusal(self, kind: InputKind) -> str:
        """Return what the error begins with or says, naming the field; empty: it is converted."""
        encoding, layer = self.encoding, self.layer(kind)
        channels = kind.channels_as(layer)
        if layer not in encoding.layers:
            return f'encoding: "{encoding.name}" is for images, but layer_type is "segmentation"'
        if not self.written:
            return 'compression: shards can\'t hold "br"; give "gzip" or "none"'
        if layer == "segmentation" and (words := self.refused_labels(kind)):
            return words
        if layer == "segmentation" and (channels != 1 or kind.dtype not in WHOLE):
            return 'layer_type: "segmentation" needs slices with one unsigned whole number'
        return encoding.refusal(kind.dtype, channels)

    def refused_labels(self, kind: InputKind) -> str:
        """Return why these slices' pixels are no labels, where it isn't their type."""
        if kind.config.get("channels") == "grey":
            return '"channels": "grey" of labels needs three equal numbers'
        if "CMYK" in kind.name and "channels" not in kind.config:
            return "inks, which hold no labels"
        signed = kind.dtype.startswith("int") and kind.channels_as("segmentation") == 1
        return "must be whole numbers from 0 to " if signed else ""

    def dtype(self, kind: InputKind) -> str:
        """Return the volume's type: compressed_segmentation has 32 bits or more."""
        narrow = self.encoding.name == "compressed_segmentation" and kind.dtype != "uint64"
        return "uint32" if narrow else kind.dtype

    def kept(self, voxels: np.ndarray, chunk: tuple[int, int, int]) -> np.ndarray:
        """Return what is left of voxels (z, y, x, c): all, or what Pillow finds in their JPEGs."""
        if self.encoding.lossless:
            return voxels
        out = np.empty_like(voxels)
        starts = (range(0, n, step) for n, step in zip(voxels.shape, chunk, strict=False))
        for corner in product(*starts):
            part = tuple(slice(a, a + n) for a, n in zip(corner, chunk, strict=True))
            out[part] = through_jpeg(voxels[part])
        return out

    def read(self, folder: Path) -> list[np.ndarray]:
        """Read every scale, (z, y, x, c)."""
        info = read_info(folder)
        if self.reader == "tensorstore":
            return read_tensorstore({"driver": "file", "path": f"{folder}/"}, info)
        return read_cloudvolume(f"precomputed://file://{folder}", info)


def through_jpeg(voxels: np.ndarray) -> np.ndarray:
    """Return what Pillow finds in a chunk (z, y, x, c) that was made a JPEG."""
    depth, height, width, channels = voxels.shape
    image = np.ascontiguousarray(voxels.reshape(depth * height, width, channels))
    space = "GRAY" if channels == 1 else "RGB"
    ours = simplejpeg.encode_jpeg(image, QUALITY, space, "444")
    found = np.asarray(Image.open(io.BytesIO(ours))).reshape(voxels.shape)
    theirs = io.BytesIO()
    picture = Image.fromarray(image[..., 0] if channels == 1 else image)
    picture.save(theirs, "JPEG", quality=QUALITY, subsampling=0)
    usual = np.asarray(Image.open(theirs)).reshape(voxels.shape)
    # Encoders round differently, and a slice may have been a JPEG before.
    assert off(found, voxels) <= off(usual, voxels) * 1.1 + 2
    return found


def off(found: np.ndarray, due: np.ndarray) -> float:
    """Return the mean error."""
    return float(np.abs(found.astype(int) - due).mean())


WHOLE = ("uint8", "uint16", "uint32")
SIGNED = ("int8", "int16", "int32")
LABELS_ONLY = ("segmentation",)

ENCODINGS = {
    e.name: e
    for e in (
        Encoding("raw", (*WHOLE, *SIGNED, "float32"), None, LAYERS),
        Encoding("jpeg", ("uint8",), (1, 3), ("image",), lossless=False, compressions=(), bits=8),
        Encoding(
            "png",
            ("uint8", "uint16"),
            (1, 2, 3, 4),
            ("image",),
            compressions=(),
            bits=16,
            note=" (16 bits: 1)",
        ),
        Encoding("compressed_segmentation", WHOLE, (1,), LABELS_ONLY),
        Encoding("compresso", WHOLE, (1,), LABELS_ONLY),
    )
}

OUTPUTS: dict[str, OutputKind] = {
    kind.name: kind
    for encoding in ENCODINGS.values()
    for compression in encoding.compressions or ("",)
    for sharding in (False, True)
    for kind in [OutputKind(encoding, compression, sharding)]
}
