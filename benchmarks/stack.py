"""The stack to convert: the MNI152 template upsampled 8× (bicubic) with noise (σ 3), as files.

1576×1864×189 voxels, 555 Mvoxel, in 8-bit JPEG (quality 90), 8-bit LZW TIFF, 16-bit TIFF.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from demo.brain import load_brain

UPSAMPLE = 8
FORMATS = ("jpeg", "tiff-lzw", "tiff-16")
EXT = {"jpeg": ".jpg", "tiff-lzw": ".tif", "tiff-16": ".tif"}


def make_stack(cache: Path, kind: str, slices: int | None = None) -> Path:
    """Write the stack once; return its folder."""
    folder = cache / (kind if slices is None else f"{kind}-{slices}")
    done = folder.with_suffix(".done")
    if done.exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for z, plane in enumerate(load_brain(cache)[:slices]):
        size = (plane.shape[1] * UPSAMPLE, plane.shape[0] * UPSAMPLE)
        large = np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BICUBIC))
        noisy = large + rng.normal(0, 3, large.shape)
        write(folder / f"s_{z:04d}{EXT[kind]}", noisy, kind)
    done.touch()
    return folder


def repeat_stack(folder: Path, slices: int) -> Path:
    """Return a folder of so many slices, the same ones over and over (hard links)."""
    deep = folder.with_name(f"{folder.name}-x{slices}")
    paths = sorted(folder.iterdir())
    deep.mkdir(exist_ok=True)
    for z in range(slices):
        link = deep / f"s_{z:04d}{paths[0].suffix}"
        if not link.exists():
            link.hardlink_to(paths[z % len(paths)])
    return deep


def write(path: Path, noisy: np.ndarray, kind: str) -> None:
    """Write one slice."""
    if kind == "tiff-16":
        image = np.clip(np.rint(noisy * 64), 0, 65535).astype(np.uint16)
        tifffile.imwrite(path, image, photometric="minisblack", rowsperstrip=64)
        return
    image = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    options = {"quality": 90} if kind == "jpeg" else {"compression": "tiff_lzw"}
    Image.fromarray(image).save(path, **options)
