"""Encodes the voxels of a chunk.

Raw: little-endian, x fastest, then y, z and channel; clipped at the volume's edges. JPEG and PNG:
an image of width x and height y·z, its pixels in the same order (Neuroglancer, `volume.md`, "Chunk
encoding").
"""

from __future__ import annotations

from zblocks.geometry import Voxels
from zblocks.precomputed.compression import Buffer, compress
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
        return _png(voxels)
    if chunk_format.encoding == "raw":
        one = voxels.shape[3] == 1
        data = voxels.data.cast("B") if one else voxels.transpose(3, 0, 1, 2).tobytes()
    else:
        data = _labels(voxels, chunk_format.encoding)
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


def _png(voxels: Voxels) -> bytes:
    import pyvips

    depth, height, width, channels = voxels.shape
    kind = {"uint8": "uchar", "uint16": "ushort"}[str(voxels.dtype)]
    image = pyvips.Image.new_from_memory(voxels.data, width, depth * height, channels, kind)
    grey, colours = ("b-w", "srgb") if kind == "uchar" else ("grey16", "rgb16")
    tagged = image.copy(interpretation=grey if channels < 3 else colours)
    data: bytes = tagged.pngsave_buffer(compression=PNG_LEVEL, keep="none")
    return data


def _labels(voxels: Voxels, encoding: str) -> bytes:
    across = voxels[..., 0].T  # (x, y, z), Fortran order
    if encoding == "compresso":
        import compresso

        packed: bytes = compresso.compress(across)
        return packed
    import compressed_segmentation

    packed = compressed_segmentation.compress(across[..., None], block_size=LABEL_BLOCK, order="F")
    return bytes(packed)
