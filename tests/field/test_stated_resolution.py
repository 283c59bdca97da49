"""A voxel_resolution that contradicts the files is warned of; paths with a tilde."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from tests.flow.conftest import zblocks

PLANE = np.arange(80, dtype=np.uint8).reshape(8, 10)
OME = {
    "metadata": {
        "axes": "YX", "PhysicalSizeX": 0.65, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.65,
        "PhysicalSizeYUnit": "µm", "PhysicalSizeZ": 5, "PhysicalSizeZUnit": "µm",
    },
    "ome": True,
}  # fmt: skip
IMAGEJ = {
    "imagej": True, "resolution": (1 / 0.65, 1 / 0.65),
    "metadata": {"unit": "micron", "spacing": 5.0},
}  # fmt: skip
TAGS = {"resolution": (1e4 / 0.65, 1e4 / 0.65), "resolutionunit": "CENTIMETER", "metadata": None}
PRINTER = {"resolution": (72, 72), "resolutionunit": "INCH", "metadata": None}
SIZE = [650, 650, 5000]


@pytest.mark.parametrize(
    ("options", "fields", "said"),
    [
        (OME, {"voxel_resolution": [4, 4, 40]}, "650×650×5000 nm (OME)"),
        (IMAGEJ, {"voxel_resolution": [650, 650, 500]}, "650×650×5000 nm (ImageJ)"),
        (TAGS, {"voxel_resolution": [65, 65, 5000]}, "650×650 nm (resolution tags)"),
        (OME, {"voxel_resolution": SIZE}, ""),
        (IMAGEJ, {"voxel_resolution": SIZE, "every": 2, "turn": 90}, ""),
        (TAGS, {"voxel_resolution": [650.2, 650, 40]}, ""),
        (PRINTER, {"voxel_resolution": [4, 4, 40]}, ""),
    ],
)
def test_a_resolution_that_files_contradict(options, fields, said, tmp_path, write_config):
    (tmp_path / "in").mkdir()
    for z in range(2):
        tifffile.imwrite(tmp_path / f"in/s_{z}.tif", PLANE, **options)
    done = zblocks("plan", write_config(**fields), "--json")
    assert done.code == 0, done.err
    notes = [n for n in json.loads(done.out)["warnings"] if n.startswith("voxel_resolution")]
    assert len(notes) == bool(said)
    assert said in "".join(notes)


def test_a_folder_below_home(tmp_path, write_config):
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in/s_1.tif", PLANE)
    folders = {"folder_to_convert_from": "~/in", "folder_to_convert_to": "~/out"}
    config = write_config(source=None, destination=None, **folders)
    done = zblocks("convert", config, env={"HOME": str(tmp_path)})
    assert done.code == 0, done.err
    assert (tmp_path / "out/info").is_file()
