"""Encodes the voxels of a chunk, and decodes chunks of every encoding.

Raw: little-endian, x fastest, then y, z and channel; clipped at the volume's edges. JPEG and PNG:
an image of width x and height y·z, its pixels in the same order (Neuroglancer, `volume.md`, "Chunk
encoding").
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod

import numpy as np

from zblocks.compression import Buffer, MissingDecoderError, compress, load_decoder
from zblocks.geometry import Box, Vec, Voxels
from zblocks.precomputed.scale import LABEL_BLOCK, ChunkFormat

PNG_LEVEL = 3


def encode_chunk(chunk_format: ChunkFormat, voxels: Voxels) -> Buffer:
    """Return a chunk of contiguous voxels (z, y, x, c), encoded and compressed as its format says.

    Uncompressed raw voxels of one channel are returned as a view, without a copy.
    """
    if chunk_format.encoding == "jpeg":
        depth, height, width, channels = voxels.shape
        image = voxels.reshape(depth * height, width, channels)
        return encode_jpeg(image, chunk_format.jpeg_quality)
    if chunk_format.encoding == "png":
        return _encode_png(voxels)
    if chunk_format.encoding == "raw":
        one = voxels.shape[3] == 1
        data = voxels.data.cast("B") if one else voxels.transpose(3, 0, 1, 2).tobytes()
    else:
        data = _encode_labels(voxels, chunk_format.encoding)
    return compress(data, chunk_format.compression)


def encode_jpeg(image: Voxels, quality: int, subsampling: str = "444") -> bytes:
    """Return an image (rows, columns, c), contiguous, of 1 or 3 channels, as a baseline JPEG.

    The quality is libjpeg's, 1 to 100; the subsampling is of chroma, where `444` is none.
    """
    import simplejpeg

    space = "GRAY" if image.shape[2] == 1 else "RGB"
    data: bytes = simplejpeg.encode_jpeg(
        image, quality=quality, colorspace=space, colorsubsampling=subsampling
    )
    return data


def _encode_png(voxels: Voxels) -> bytes:
    import pyvips

    depth, height, width, channels = voxels.shape
    kind = {"uint8": "uchar", "uint16": "ushort"}[str(voxels.dtype)]
    image = pyvips.Image.new_from_memory(voxels.data, width, depth * height, channels, kind)
    grey, colours = ("b-w", "srgb") if kind == "uchar" else ("grey16", "rgb16")
    tagged = image.copy(interpretation=grey if channels < 3 else colours)
    data: bytes = tagged.pngsave_buffer(compression=PNG_LEVEL, keep="none")
    return data


def _encode_labels(voxels: Voxels, encoding: str) -> bytes:
    across = voxels[..., 0].T  # (x, y, z), Fortran order
    if encoding == "compresso":
        import compresso

        packed: bytes = compresso.compress(across)
        return packed
    import compressed_segmentation

    packed = compressed_segmentation.compress(across[..., None], block_size=LABEL_BLOCK, order="F")
    return bytes(packed)


def decode_chunk(chunk_format: ChunkFormat, data: bytes, box: Box) -> Voxels:
    """Return the voxels (z, y, x, c) of a chunk.

    Raises ValueError if the data is not a chunk of this box and format, and MissingDecoderError if
    no decoder for the encoding is installed.
    """
    if chunk_format.encoding == "raw":
        return _decode_raw(chunk_format, data, box)
    if chunk_format.encoding in ("jpeg", "png"):
        return _decode_image(chunk_format, data, box)
    if chunk_format.encoding == "jxl":
        return _decode_jxl(chunk_format, data, box)
    if chunk_format.encoding == "compressed_segmentation" and chunk_format.block is not None:
        return _decode_labels(chunk_format, data, box, chunk_format.block)
    if chunk_format.encoding == "compresso":
        return _decode_compresso(chunk_format, data, box)
    raise MissingDecoderError(chunk_format.encoding)


def _decode_raw(chunk_format: ChunkFormat, data: bytes, box: Box) -> Voxels:
    expected = box.voxels * chunk_format.voxel_bytes
    if len(data) != expected:
        raise ValueError(f"holds {len(data)} bytes where {expected} are expected")
    size = box.shape
    flat: Voxels = np.frombuffer(data, np.dtype(chunk_format.dtype).newbyteorder("<"))
    return flat.reshape(chunk_format.channels, size.z, size.y, size.x).transpose(1, 2, 3, 0)


def _decode_image(chunk_format: ChunkFormat, data: bytes, box: Box) -> Voxels:
    """Decode a JPEG or PNG of any width that has one pixel per voxel of the box."""
    shape = _jpeg_shape(data) if chunk_format.encoding == "jpeg" else _png_shape(data)
    expected = (box.voxels, chunk_format.channels, chunk_format.dtype)
    if shape != expected:
        is_, expected_ = (f"{n} pixels × {c} channels of {t}" for n, c, t in (shape, expected))
        raise ValueError(f"holds {is_} where {expected_} are expected")
    jpeg = chunk_format.encoding == "jpeg"
    image = decode_jpeg(chunk_format, data) if jpeg else _decode_png(data)
    size = box.shape
    return image.reshape(size.z, size.y, size.x, chunk_format.channels)


def _decode_jxl(chunk_format: ChunkFormat, data: bytes, box: Box) -> Voxels:
    imagecodecs = load_decoder("imagecodecs", "jxl (pip install 'zblocks[jxl]')")
    try:
        image: Voxels = imagecodecs.jpegxl_decode(data)
    except Exception as error:  # imagecodecs raises errors of its own
        raise ValueError(f"can't be decoded ({error})") from error
    size, channels = box.shape, chunk_format.channels
    fits = image.size == box.voxels * channels and image.shape[-1] in (channels, size.x)
    if not fits or image.dtype != chunk_format.dtype:
        msg = (
            f"holds {image.shape} of {image.dtype} where {box.voxels} voxels × {channels} channels"
        )
        raise ValueError(f"{msg} of {chunk_format.dtype} are expected")
    return image.reshape(size.z, size.y, size.x, channels)


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """Size, colours and chroma subsampling of a JPEG."""

    height: int
    width: int
    colours: str  # `Gray`, `YCbCr`, `RGB`, `CMYK` or `YCCK`
    subsampling: str  # such as `444`

    @classmethod
    def of(cls, data: bytes) -> JpegHeader:
        """Read the header. Raises ValueError if the data is not a JPEG."""
        import simplejpeg

        if not data.startswith(b"\xff\xd8"):
            raise ValueError("is not a JPEG")
        return cls(*simplejpeg.decode_jpeg_header(data))


def _jpeg_shape(data: bytes) -> tuple[int, int, str]:
    header = JpegHeader.of(data)
    channels = {"gray": 1, "cmyk": 4, "ycck": 4}.get(header.colours.lower(), 3)
    return header.height * header.width, channels, "uint8"


def _png_shape(data: bytes) -> tuple[int, int, str]:
    """Return pixels, channels and type of a PNG, from its first chunk (PNG 3rd edition, 11.2.1)."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n") or data[12:16] != b"IHDR" or len(data) < 26:
        raise ValueError("is not a PNG")
    width, height, depth, colours = struct.unpack_from(">IIBB", data, 16)
    if colours == 3:
        raise ValueError("is a PNG with a palette, which viewers show as greyscale")
    return width * height, {0: 1, 2: 3, 4: 2, 6: 4}.get(colours, 0), f"uint{depth}"


def decode_jpeg(chunk_format: ChunkFormat, data: bytes) -> Voxels:
    """Return the pixels of a JPEG, (rows, columns, c). Raises ValueError if the JPEG is damaged."""
    import simplejpeg

    space = "GRAY" if chunk_format.channels == 1 else "RGB"
    image: Voxels = simplejpeg.decode_jpeg(data, colorspace=space)
    return image


def _decode_png(data: bytes) -> Voxels:
    pyvips = load_decoder("pyvips", "png")
    try:
        pixels: Voxels = pyvips.Image.pngload_buffer(data, fail_on="warning").numpy()
    except pyvips.Error as error:
        raise ValueError(" ".join(str(error).split())[:200]) from error
    return pixels


def _decode_labels(chunk_format: ChunkFormat, data: bytes, box: Box, block: Vec) -> Voxels:
    """Decode compressed_segmentation, checking every offset.

    Format: Neuroglancer, `src/sliceview/compressed_segmentation/README.md`. The common library,
    compressed_segmentation, reads beyond the end of damaged chunks.
    """
    if len(data) % 4 or len(data) < 4 * chunk_format.channels:
        msg = f"has {len(data)} bytes, not a multiple of 4 with an offset for each channel"
        raise ValueError(msg)
    words = np.frombuffer(data, "<u4")
    size = box.shape
    out: Voxels = np.empty((size.z, size.y, size.x, chunk_format.channels), chunk_format.dtype)
    for channel, start in enumerate(words[: chunk_format.channels].tolist()):
        _decode_channel(words[start:], Box(Vec(0, 0, 0), size), block, out[..., channel])
    return out


def _decode_channel(words: Voxels, box: Box, block: Vec, out: Voxels) -> None:
    grid = box.grid(block)
    blocks = prod(grid)
    if len(words) < 2 * blocks:
        msg = f"is truncated in its block headers: {len(words)} words for {blocks} blocks"
        raise ValueError(msg)
    headers = words[: 2 * blocks].reshape(-1, 2).tolist()
    for cell, (first, values_at) in zip(box.cells(block), headers, strict=True):
        bits, table_at = first >> 24, first & 0xFFFFFF
        if bits not in (0, 1, 2, 4, 8, 16, 32):
            raise ValueError(f"has a block with {bits} bits per voxel")
        voxels = prod(block)
        count = -(-bits * voxels // 32)
        packed = words[values_at : values_at + count]
        table = words[table_at:]
        table = table[: len(table) * 4 // out.itemsize * out.itemsize // 4].view(
            f"<u{out.itemsize}"
        )
        if len(packed) < count:
            raise ValueError("is truncated in the values of a block")
        size = cell.shape
        inside = np.zeros((size.z, size.y, size.x), np.uint32)
        if bits:
            shifts = np.arange(0, 32, bits, dtype=np.uint32)
            mask = np.uint32((1 << bits) - 1)
            values = ((packed[:, None] >> shifts) & mask).ravel()[:voxels]
            whole = values.reshape(block.z, block.y, block.x)
            inside = whole[: size.z, : size.y, : size.x]
        if int(inside.max()) >= len(table):
            raise ValueError("has a label index beyond the end of its table")
        out[cell.slices(Vec(0, 0, 0))] = table[inside]


def _decode_compresso(chunk_format: ChunkFormat, data: bytes, box: Box) -> Voxels:
    compresso = load_decoder("compresso", "compresso")
    try:
        found = compresso.decompress(data)
    except Exception as error:  # compresso raises errors of many types
        raise ValueError(f"can't be decoded ({error})") from error
    size = box.shape
    if tuple(found.shape) != tuple(size):
        raise ValueError(f"has the shape {tuple(found.shape)} where {tuple(size)} is expected")
    voxels: Voxels = found.transpose(2, 1, 0)[..., np.newaxis].astype(chunk_format.dtype)
    return voxels
