"""JPEG and PNG chunks as the real Neuroglancer decodes them: its values, voxel by voxel."""

from __future__ import annotations

import numpy as np
import pytest

from demo.browser import find_chromium, open_page, viewing
from tests.flow.conftest import textured, write_stack, zblocks
from tests.formats.outputs import OUTPUTS

SHAPE = (9, 37, 45)
CHUNK = (4, 16, 32)
PLACES = [(0, 0, 0), (44, 36, 8), (31, 15, 3), (32, 16, 4), (17, 29, 6)]
"""Voxels, xyz: corners of the volume, both sides of a chunk's corner, and one amid."""

DECODERS_DIFFER = 2
"""Grey levels between Neuroglancer's own decoder of JPEG and libjpeg."""

_VALUE = """position => {
  const layer = viewer.layerManager.managedLayers[0].layer;
  const at = Float32Array.from(position, p => p + 0.5);
  for (const drawn of layer.renderLayers) {
    const value = drawn.getValueAt ? drawn.getValueAt(at) : null;
    if (value != null) return Array.isArray(value) ? value.map(Number) : [Number(value)];
  }
  return null;
}"""


@pytest.mark.browser
@pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed")
@pytest.mark.parametrize(
    ("name", "dtype", "channels"),
    [("jpeg", "uint8", 1), ("jpeg sharded", "uint8", 3), ("png", "uint8", 3),
     ("png sharded", "uint16", 1)],
)  # fmt: skip
def test_the_viewer_finds_the_voxels(tmp_path, write_config, name, dtype, channels):
    output = OUTPUTS[name]
    voxels = write_stack(tmp_path / "in", textured((*SHAPE, channels), dtype), ".tif")
    due = output.kept(voxels, CHUNK)
    config = write_config(
        chunk_size=list(CHUNK[::-1]), voxel_resolution=[4, 4, 4], scales=1, **output.config
    )
    assert zblocks("convert", config).code == 0
    with viewing(str(tmp_path / "out"), "--offline") as link, open_page(link) as page:
        for x, y, z in PLACES:
            page.show(position=[x + 0.5, y + 0.5, z + 0.5])
            assert page.failed == 0
            found = page.page.evaluate(_VALUE, [x, y, z])
            off = np.abs(np.array(found) - due[z, y, x])
            assert off.max() <= (0 if output.encoding.lossless else DECODERS_DIFFER), (x, y, z)
