"""Grey by its formula, in whole numbers of any size and in floats; wishes that can't be met."""

from __future__ import annotations

import numpy as np
import pytest

from zblocks.slices.pixels import Pixels, choose


def random_pixels(dtype, channels):
    rng = np.random.default_rng(1)
    if dtype == "float32":
        return rng.normal(0, 9, (6, 7, channels)).astype(dtype)
    top = np.iinfo(dtype).max
    data = rng.integers(0, top, (6, 7, channels), dtype=dtype, endpoint=True)
    data[0, 0] = top
    return data


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32"])
def test_grey_of_whole_numbers(dtype):
    pixels, out = random_pixels(dtype, 4), np.empty((6, 7, 1), dtype)
    choose(Pixels(4, dtype, "rgb", alpha=True), "grey").put(pixels, out)
    for y, x in np.ndindex(6, 7):
        r, g, b = map(int, pixels[y, x, :3])
        assert out[y, x, 0] == (19595 * r + 38470 * g + 7471 * b + 32768) // 65536
    assert out[0, 0, 0] == np.iinfo(dtype).max


def test_grey_of_floats():
    pixels, out = random_pixels("float32", 3), np.empty((6, 7, 1), "float32")
    choose(Pixels(3, "float32", "rgb"), "grey").put(pixels, out)
    due = pixels.astype(np.float64) @ [0.299, 0.587, 0.114]
    np.testing.assert_allclose(out[..., 0], due, rtol=1e-6, atol=1e-5)


def test_white_is_zero_is_turned_before_channels_are_chosen():
    pixels, out = random_pixels("uint16", 2), np.empty((6, 7, 1), "uint16")
    choose(Pixels(2, "uint16", "grey", alpha=False, white=65535), "1").put(pixels, out)
    np.testing.assert_array_equal(out[..., 0], 65535 - pixels[..., 1])


@pytest.mark.parametrize(
    ("pixels", "wanted", "words"),
    [
        (Pixels(5, "uint8", "other"), "grey", "without colours"),
        (Pixels(3, "uint8", "rgb"), "0,3", "has channels 0 to 2, not 3"),
    ],
)
def test_wishes_that_can_not_be_met(pixels, wanted, words):
    with pytest.raises(ValueError, match=words):
        choose(pixels, wanted)
