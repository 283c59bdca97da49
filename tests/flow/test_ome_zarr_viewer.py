"""OME-Zarr images in the real Neuroglancer: the same voxels in the same places as precomputed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from demo.browser import find_chromium, open_page, state_of, viewing
from tests.flow.conftest import textured, write_stack, zblocks
from zblocks.neuroglancer import viewer_link
from zblocks.storage import open_store
from zblocks.view.contrast import read_viewed_volume
from zblocks.view.server import client_folder, serve

SHAPE = (21, 37, 45)
PLACES = [(0, 0, 0), (44, 36, 20), (15, 31, 7), (16, 32, 8), (17, 29, 6)]
"""Voxels, xyz: corners of the volume, both sides of a chunk's corner, and one amid."""

CASES = {
    "grey, sharded": (1, "uint8", {"sharding": True, "voxel_offset": [-3, 5, 7]}),
    "16 bits": (1, "uint16", {"sharding": False, "voxel_offset": [4, -7, -1]}),
    "colour": (3, "uint8", {"sharding": True, "voxel_offset": [1, 1, 1]}),
    "32-bit float": (1, "uint16", {"dtype": "float32", "sharding": True}),
    "labels": (1, "uint16", {"layer_type": "segmentation", "dtype": "uint32", "sharding": True}),
}

_VALUES = """position => viewer.layerManager.managedLayers.map(({layer}) => {
  const at = Float32Array.from(position, p => p + 0.5);
  for (const drawn of layer.renderLayers) {
    const value = drawn.getValueAt ? drawn.getValueAt(at) : null;
    if (value == null) continue;
    const plain = value.value !== undefined ? value.value : value;
    return Array.isArray(plain) ? plain.map(Number) : [Number(plain)];
  }
  return null;
})"""


@pytest.mark.browser
@pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed")
@pytest.mark.parametrize("case", CASES)
def test_the_same_voxels_in_the_same_places(tmp_path, write_config, case):
    channels, dtype, fields = CASES[case]
    voxels = textured((*SHAPE, channels), dtype)
    if "layer_type" in fields:
        voxels = voxels // 9000 + 1
    write_stack(tmp_path / "in", voxels, ".tif")
    config = write_config(
        chunk_size=[16, 16, 8], voxel_resolution=[4, 4, 8], format=["precomputed", "ome-zarr"],
        **fields,
    )  # fmt: skip
    assert zblocks("convert", config).code == 0
    shown = read_viewed_volume(open_store(f"file://{tmp_path}/out"))
    with viewing(f"{tmp_path}/out.ome.zarr", "--offline") as link, open_page(link) as page:
        at = list(shown.box.start)
        page.show(position=[a + 0.5 for a in at])
        assert page.failed == 0
        assert page.page.evaluate(_VALUES, at) == [voxels[0, 0, 0].tolist()]
    with serve(open_store(f"file://{tmp_path}"), client_folder()) as server:
        links = [
            viewer_link(replace(shown, zarr=zarr), f"{server.source}/{name}", server.viewer)
            for zarr, name in ((0, "out"), (3, "out.ome.zarr"))
        ]
        both = [layer for link in links for layer in state_of(link)["layers"]]
        with open_page(links[0]) as page:
            for x, y, z in PLACES:
                at = [a + b for a, b in zip((x, y, z), shown.box.start, strict=True)]
                page.show(position=[a + 0.5 for a in at], layers=both)
                assert page.failed == 0
                found = page.page.evaluate(_VALUES, at)
                np.testing.assert_array_equal(found, [voxels[z, y, x].tolist()] * 2, str(at))
            page.show(crossSectionScale=4)  # coarser scales
            assert page.failed == 0
            first, second = page.page.evaluate(_VALUES, at)
            assert first == second
