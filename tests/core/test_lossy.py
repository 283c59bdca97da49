"""JPEG chunks: the right ones pass at every quality, wrong ones at none that keeps them apart."""

from __future__ import annotations

import numpy as np
import pytest
import simplejpeg

from zblocks.conversion.downsample import pool_mean
from zblocks.geometry import Vec
from zblocks.verify.compare import Coder, is_encoding_of, is_like

QUALITIES = (1, 5, 20, 50, 75, 100)
FINE, COARSE = (16, 32, 32), (8, 16, 16)


def encode(voxels, quality, **how):
    """Return the file and what it holds, as the viewer lays chunks out."""
    depth, height, width, channels = voxels.shape
    space = "GRAY" if channels == 1 else "RGB"
    image = np.ascontiguousarray(voxels).reshape(depth * height, width, channels)
    options = {"colorsubsampling": "444", **how}
    data = simplejpeg.encode_jpeg(image, quality=quality, colorspace=space, **options)
    return data, simplejpeg.decode_jpeg(data, colorspace=space).reshape(voxels.shape)


def voxels(kind, shape, channels, seed):
    """Return (z, y, x, c): noise, structure with noise, or structure alone."""
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return rng.integers(0, 256, (*shape, channels), dtype=np.uint8)
    z, y, x, c = np.indices((*shape, channels))
    waves = np.sin(x / 7 + c + seed * 2) + np.cos(y / 9 + z / 2 + seed * 3)
    if kind == "textured":
        waves = waves + rng.normal(0, 0.4, waves.shape)
    return np.clip(127 + waves * 50, 0, 255).astype(np.uint8)


def halved(fine):
    out = np.empty((*COARSE, fine.shape[3]), np.uint8)
    pool_mean(fine, Vec(0, 0, 0), Vec(2, 2, 2), out)
    return out


def stored(fine, quality):
    """Return what chunks of 8 × 16 × 16 hold of a fine scale."""
    out = np.empty_like(fine)
    for z in range(0, FINE[0], 8):
        for y in range(0, FINE[1], 16):
            for x in range(0, FINE[2], 16):
                at = np.s_[z : z + 8, y : y + 16, x : x + 16]
                out[at] = encode(fine[at], quality)[1]
    return out


def wrong(right, other):
    return {
        "zeros": np.zeros_like(right),
        "a neighbour": other,
        "shifted in z": np.concatenate([right[4:], other[:4]]),
        "shifted in x": np.concatenate([right[:, :, 8:], other[:, :, :8]], axis=2),
    }


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["noise", "textured", "smooth"])
@pytest.mark.parametrize("quality", QUALITIES)
def test_the_same_voxels_encoded_pass_and_others_do_not(kind, channels, quality):
    right = voxels(kind, COARSE, channels, 1)
    data, held = encode(right, quality)
    assert is_encoding_of(held, right, data, quality)
    assert is_encoding_of(held, right, data, None)
    for name, other in wrong(right, voxels(kind, COARSE, channels, 2)).items():
        file, actual = encode(other, quality)
        if np.abs(actual.astype(int) - held).mean() < 2:
            continue  # at quality 1 noise is grey, this or that
        assert not is_encoding_of(actual, right, file, quality), name
        assert not is_encoding_of(actual, right, file, None), name


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["noise", "textured", "smooth"])
@pytest.mark.parametrize("quality", QUALITIES)
def test_a_coarser_scale_made_before_encoding_passes(kind, channels, quality):
    fine = voxels(kind, FINE, channels, 1)
    data, held = encode(halved(fine), quality)
    assert is_like(held, halved(stored(fine, quality)), data)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("kind", "quality"),
    # Of noise below 50, too little is kept to tell one chunk from another.
    [("noise", 50), *((k, q) for k in ("textured", "smooth") for q in (20, 50)),
     *((k, q) for k in ("noise", "textured", "smooth") for q in (75, 95))],
)  # fmt: skip
def test_a_wrong_coarser_chunk_does_not(kind, channels, quality):
    fine = voxels(kind, FINE, channels, 1)
    expected, other = halved(stored(fine, quality)), halved(voxels(kind, FINE, channels, 2))
    for name, chunk in wrong(halved(fine), other).items():
        file, actual = encode(chunk, quality)
        assert not is_like(actual, expected, file), name


@pytest.mark.parametrize("quality", [10, 50, 75, 95])
def test_fewer_colours_pass(quality):
    right = voxels("textured", COARSE, 3, 1)
    data, held = encode(right, quality, colorsubsampling="420")
    assert is_encoding_of(held, right, data, None)


@pytest.mark.parametrize("encoder", ["pillow", "vips"])
@pytest.mark.parametrize("quality", [20, 75, 95])
def test_other_libraries_pass(encoder, quality, tmp_path):
    import pyvips
    from PIL import Image

    right = voxels("textured", COARSE, 1, 1)
    image, path = right.reshape(-1, COARSE[2]), tmp_path / "x.jpg"
    if encoder == "pillow":
        Image.fromarray(image).save(path, quality=quality)
    else:
        pyvips.Image.new_from_array(image).jpegsave(str(path), Q=quality)
    data = path.read_bytes()
    held = simplejpeg.decode_jpeg(data, colorspace="GRAY").reshape(right.shape)
    assert is_encoding_of(held, right, data, None)
    assert Coder.of(data).quality == quality


def test_one_spoilt_block_of_ours_does_not_pass():
    right = voxels("noise", COARSE, 1, 1)
    spoilt = right.copy()
    spoilt[0, :8, :8] = 0
    data, held = encode(spoilt, 50)
    assert not is_encoding_of(held, right, data, 50)


def test_right_voxels_at_another_quality_than_the_plan_do_not_pass():
    right = voxels("textured", COARSE, 1, 1)
    data, held = encode(right, 20)
    assert not is_encoding_of(held, right, data, 90)
