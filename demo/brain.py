"""A real brain as a stack of slices: the MNI ICBM152 T1 template that ships inside nilearn's wheel.

197×233×189 voxels of 1 mm, 8 bit. Cut along z into grey JPEGs, with a list of names as the 2019
script read it; one slice is missing and has a placeholder line.
"""

from __future__ import annotations

import gzip
import sys
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
from PIL import Image

from demo.downloads import download_wheel

NILEARN = "nilearn==0.14.1"
TEMPLATE = "nilearn/datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
CACHE = Path(__file__).resolve().parents[1] / ".cache" / "demo"
"""Where the wheel is kept."""
MISSING_Z = 60
"""The slice that is left out."""
RESOLUTION_NM = [1_000_000, 1_000_000, 1_000_000]


def load_brain(cache: Path) -> npt.NDArray[np.uint8]:
    """Return the template (z, y, x), uint8; the wheel is fetched into `cache` once."""
    with zipfile.ZipFile(download_wheel(cache, NILEARN)) as wheel:
        data = gzip.decompress(wheel.read(TEMPLATE))
    xyz = np.asanyarray(nibabel.Nifti1Image.from_bytes(data).dataobj)
    scaled = np.clip(np.rint(xyz * (255 / xyz.max())), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(scaled.transpose(2, 1, 0)[::-1, ::-1])


def write_slices(brain: npt.NDArray[np.uint8], folder: Path) -> list[str]:
    """Write one JPEG per z into `folder`; return the lines of the list, one a placeholder."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for z, plane in enumerate(brain):
        if z == MISSING_Z:
            lines.append(f"Placeholder_{z:04d} {z}")
            continue
        Image.fromarray(plane).save(folder / f"brain_{z:04d}_gray.jpg", quality=95)
        lines.append(f"{z:04d} {z}")
    return lines


def decode_slices(folder: Path, lines: list[str]) -> npt.NDArray[np.uint8]:
    """Return the stack (z, y, x) as a reader of these JPEGs sees it, zeros for the placeholder."""
    planes: list[npt.NDArray[np.uint8] | None] = []
    for line in lines:
        name = line.split()[0]
        path = folder / f"brain_{name}_gray.jpg"
        planes.append(None if "Placeholder" in name else np.asarray(Image.open(path)))
    empty = np.zeros_like(next(p for p in planes if p is not None))
    return np.stack([empty if p is None else p for p in planes])


def main() -> None:
    """Write the slices into the folder that is named: `python -m demo.brain slices`."""
    folder = Path(sys.argv[1])
    lines = write_slices(load_brain(CACHE), folder)
    print(f"{folder}: {len(lines)} slices, one of them ({MISSING_Z:04d}) left out on purpose")


if __name__ == "__main__":
    main()
