"""The type and format of the voxels, from what the config asks for and what the slices are."""

from __future__ import annotations

import numpy as np

from zblocks.config import Config
from zblocks.errors import InvalidConfig
from zblocks.precomputed.scale import ENCODINGS, ChunkFormat
from zblocks.slices import SliceHeader

WIDTH = {"uint8": 8, "uint16": 16, "uint32": 32, "uint64": 64}  # bits of a label


def choose_chunk_format(config: Config, header: SliceHeader) -> ChunkFormat:
    """Return the type and encoding of chunks.

    Raises:
        InvalidConfig: the config doesn't fit the slices.
    """
    dtype = (_image_dtype if config.layer_type == "image" else _label_dtype)(config, header)
    encoding = ENCODINGS[config.encoding]
    if dtype not in encoding.dtypes:
        bits = encoding.bits
        what = f"the slices are {header}" if dtype == header.dtype else f"dtype is {dtype}"
        msg = f'encoding: "{config.encoding}" holds {bits} bits, {what}; use "raw"'
        if config.layer_type == "image":
            msg += f', or "dtype": "uint{bits}" with contrast'
        raise InvalidConfig(msg)
    _refuse_channels(config, dtype, header.channels)
    if np.issubdtype(dtype, np.integer):
        _refuse_fills(config, dtype)
    return ChunkFormat.written(
        dtype, header.channels, config.encoding, config.compression, config.jpeg_quality
    )


def _refuse_fills(config: Config, dtype: str) -> None:
    low, top = np.iinfo(dtype).min, np.iinfo(dtype).max
    fill = config.fill_value
    if fill != int(fill) or not low <= fill <= top:
        msg = f"fill_value: {fill} doesn't fit the volume's {dtype}; use {low} to {top}"
        raise InvalidConfig(msg)
    if config.canvas and (config.canvas.fill or 0) > top:
        msg = f"canvas: fill {config.canvas.fill} doesn't fit the volume's {dtype}; use 0 to {top}"
        raise InvalidConfig(msg)


def _refuse_channels(config: Config, dtype: str, channels: int) -> None:
    """Refuse channels that the encoding can't hold, or that the viewer can't read."""
    encoding = ENCODINGS[config.encoding]
    if not encoding.holds_channels(channels):
        names = " or ".join(map(str, encoding.channels))
        msg = (
            f'encoding: "{config.encoding}" holds {names} channels, the slices have '
            f'{channels}; use "raw", or choose with "channels"'
        )
        raise InvalidConfig(msg)
    if config.encoding == "png" and dtype == "uint16" and channels > 1:
        msg = (
            'encoding: "png" of 16 bits is for one channel: Neuroglancer mixes up the bytes of '
            f'{channels}; use "raw", or choose one with "channels"'
        )
        raise InvalidConfig(msg)


def _label_dtype(config: Config, header: SliceHeader) -> str:
    floats = header.dtype.startswith("float")
    if header.channels != 1 or (floats and config.dtype == "auto"):
        msg = (
            'layer_type: "segmentation" needs slices with one unsigned whole number per pixel, not '
            f"{header}; {_label_advice(header)}"
        )
        raise InvalidConfig(msg)
    stored = config.dtype if floats else f"uint{header.dtype[-2:].lstrip('t')}"
    least = "uint32" if config.encoding == "compressed_segmentation" else stored
    wanted = max(least, stored, key=WIDTH.__getitem__)
    dtype = wanted if config.dtype == "auto" else config.dtype
    if WIDTH[dtype] < WIDTH[wanted]:
        what = f"{header.dtype} slices" if wanted == stored else config.encoding
        msg = f'dtype: {dtype} is too narrow for {what}; give "auto" or {wanted}'
        raise InvalidConfig(msg)
    return dtype


def _label_advice(header: SliceHeader) -> str:
    """Return what to do about slices that don't hold a label per pixel, so that none changes."""
    if header.channels == 1:
        wide = "uint64" if header.dtype == "float64" else "uint32"
        return (
            f'if all their values are whole numbers, give "dtype": "{wide}" (each is checked), '
            'else "image"'
        )
    if header.channels in (3, 4) and header.dtype == "uint8":
        return (
            'if red, green and blue are one number of 24 bits, give "channels": "rgb24" (red is '
            'its highest byte) or "bgr24" (blue is); if the three are equal, "channels": "grey"; '
            'if colours stand for labels, save the labels themselves; else give "image"'
        )
    return 'save one channel that holds whole labels, or give "image"'


def _image_dtype(config: Config, header: SliceHeader) -> str:
    dtype = header.dtype if config.dtype == "auto" else config.dtype
    narrow = dtype in ("uint8", "uint16")
    if config.contrast and not narrow:
        msg = f'dtype: contrast can\'t be stretched to {dtype}; give "uint8" or "uint16"'
        raise InvalidConfig(msg)
    if not config.contrast and not np.can_cast(header.dtype, dtype, "safe"):
        contrast = 'contrast with it, such as {"percentiles": [0.1, 99.9]}, or ' if narrow else ""
        msg = f"dtype: {dtype} can't hold every value of {header.dtype} slices; give {contrast}"
        raise InvalidConfig(f'{msg}"auto"')
    return dtype
