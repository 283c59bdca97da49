"""Real files, by the user's own command, read back at every scale by readers that aren't ours.

They come from packages that carry them, fetched once into .cache/ (see the pins below).
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import zipfile
from itertools import pairwise
from pathlib import Path

import imagecodecs
import nibabel
import numpy as np
import pytest
import tifffile
from PIL import Image

from demo.downloads import download_once, download_wheel
from tests.core.test_labels import modes
from tests.flow.conftest import zblocks
from tests.references import pyramid_of, read_cloudvolume, read_info, read_tensorstore
from zblocks.geometry import Vec

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "real"
PINS = {"glymur": "0.14.8", "stardist": "0.9.2", "scikit-image": "0.26.0"}


def from_wheel(package: str, name: str) -> bytes:
    """Return a file of a package's wheel."""
    with zipfile.ZipFile(download_wheel(CACHE, f"{package}=={PINS[package]}")) as wheel:
        return wheel.read(name)


def labels_of_debian() -> np.ndarray:
    """Return the AAL atlas of mricron-data, (z, y, x)."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        pytest.skip("the labels come from a Debian package, and there is no apt-get here")

    def download(into: Path) -> None:
        got = subprocess.run(["apt-get", "download", "mricron-data"], cwd=into, check=False)
        if got.returncode:
            pytest.skip("apt-get knows no mricron-data (Debian's and Ubuntu's lists have it)")
        (package,) = into.glob("mricron-data_*.deb")
        subprocess.run(["dpkg-deb", "-x", package, into], check=True)

    folder = download_once(CACHE / "mricron", download)
    path = folder / "usr/share/mricron/templates/aal.nii.gz"
    return np.asanyarray(nibabel.load(path).dataobj).transpose(2, 1, 0)


def converted(folder: Path, **fields) -> Path:
    """Convert and verify with the user's commands; return the volume's folder."""
    document = {
        "source": f"file://{folder}/in",
        "destination": f"file://{folder}/out",
        "voxel_resolution": [1000, 1000, 1000],
        **fields,
    }
    (folder / "config.json").write_text(json.dumps(document))
    done = zblocks("convert", folder / "config.json")
    assert done.code == 0, done.err
    checked = zblocks("verify", folder / "out", "--source", folder / "config.json")
    assert checked.code == 0, checked.out + checked.err
    return folder / "out"


def by_tensorstore(folder: Path) -> list[np.ndarray]:
    return read_tensorstore({"driver": "file", "path": f"{folder}/"}, read_info(folder))


def assert_pyramid(folder: Path, voxels: np.ndarray) -> None:
    """Hold every scale against the means of the one before, voxel by voxel; gzip in shards."""
    found = by_tensorstore(folder)
    assert len(found) > 1
    for scale, (ours, due) in enumerate(
        zip(found, pyramid_of(voxels, read_info(folder)), strict=True)
    ):
        np.testing.assert_array_equal(ours, due, err_msg=f"scale {scale}")


def test_jpeg_2000(tmp_path):
    """One slice of 1456×2592 RGB; sharded."""
    (tmp_path / "in").mkdir()
    data = from_wheel("glymur", "glymur/data/nemo.jp2")
    (tmp_path / "in/nemo.jp2").write_bytes(data)
    voxels = imagecodecs.jpeg2k_decode(data)[None]
    assert voxels.shape == (1, 1456, 2592, 3)
    out = converted(tmp_path, sharding=True, scales=2)
    fine, coarse = by_tensorstore(out)
    np.testing.assert_array_equal(fine, voxels)
    means = voxels.reshape(1, 728, 2, 1296, 2, 3).mean(axis=(2, 4))
    np.testing.assert_array_equal(coarse, np.rint(means).astype(np.uint8))


@pytest.mark.parametrize("fields", [{"sharding": True}, {"compression": "none", "turn": 90}])
def test_a_deflated_tiff_stack_of_16_bits(tmp_path, fields):
    (tmp_path / "in").mkdir()
    data = from_wheel("stardist", "stardist/data/images/img3d.tif")
    (tmp_path / "in/img3d.tif").write_bytes(data)
    voxels = tifffile.imread(io.BytesIO(data))[..., None]
    assert (voxels.shape, voxels.dtype) == ((31, 61, 57, 1), np.uint16)
    out = converted(tmp_path, page="all", chunk_size=[16, 16, 16], **fields)
    assert_pyramid(out, np.rot90(voxels, -1, (1, 2)) if "turn" in fields else voxels)


@pytest.mark.parametrize("encoding", ["raw", "png"])
def test_histology(tmp_path, encoding):
    (tmp_path / "in").mkdir()
    data = from_wheel("scikit-image", "skimage/data/ihc.png")
    for z in range(3):
        (tmp_path / f"in/ihc_{z}.png").write_bytes(data)
    plane = np.asarray(Image.open(io.BytesIO(data)))
    assert plane.shape == (512, 512, 3)
    out = converted(tmp_path, encoding=encoding, sharding=True, chunk_size=[64, 64, 3])
    found = by_tensorstore(out)
    assert len(found) > 2
    for voxels in found:
        np.testing.assert_array_equal(voxels, np.stack([plane] * len(voxels)))
        pairs = plane.reshape(len(plane) // 2, 2, -1, 2, 3)  # slices are equal: z changes nothing
        plane = np.rint(pairs.mean(axis=(1, 3))).astype(np.uint8)


@pytest.mark.parametrize("encoding", ["compressed_segmentation", "compresso"])
def test_an_atlas_of_labels(tmp_path, encoding):
    """117 labels of a brain, as PNG slices."""
    labels = labels_of_debian()
    assert (labels.shape, labels.dtype, len(np.unique(labels))) == ((181, 217, 181), np.uint8, 117)
    (tmp_path / "in").mkdir()
    for z, plane in enumerate(labels):
        Image.fromarray(plane).save(tmp_path / f"in/aal_{z:03d}.png")
    out = converted(tmp_path, layer_type="segmentation", encoding=encoding, sharding=True)
    info = read_info(out)
    due = [labels[..., None]]
    for finer, coarser in pairwise(info["scales"]):
        ratios = zip(coarser["resolution"], finer["resolution"], strict=True)
        step = Vec(*(round(c / f) for c, f in ratios))
        due.append(modes_fast(due[-1], step))
    np.testing.assert_array_equal(
        modes_fast(due[0][:20, :30, :25], Vec(2, 2, 2)),
        modes(due[0][:20, :30, :25], Vec(0, 0, 0), Vec(2, 2, 2), sparse=False),
    )
    found = read_cloudvolume(f"precomputed://file://{out}", info)
    if encoding == "compressed_segmentation":
        found = [*found, *by_tensorstore(out)]
        due = [*due, *due]
    for ours, right in zip(found, due, strict=True):
        np.testing.assert_array_equal(ours, right)


def modes_fast(labels: np.ndarray, step: Vec) -> np.ndarray:
    """Return the commonest label of each coarse voxel, the smallest of those equally common."""
    corners = [
        np.pad(
            part := labels[z :: step.z, y :: step.y, x :: step.x, 0].astype(int),
            [(0, -(-n // s) - have) for n, s, have in zip(labels.shape[:3], step[::-1], part.shape,
                                                          strict=True)],
            constant_values=-1,
        )
        for z in range(step.z)
        for y in range(step.y)
        for x in range(step.x)
    ]  # fmt: skip
    best, most = np.zeros(corners[0].shape, int), np.zeros(corners[0].shape, int)
    for candidate in corners:
        votes = sum((other == candidate) for other in corners) * (candidate >= 0)
        wins = (votes > most) | ((votes == most) & (candidate < best) & (candidate >= 0))
        best, most = np.where(wins, candidate, best), np.maximum(most, votes)
    return best[..., None].astype(labels.dtype)
