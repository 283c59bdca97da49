"""Makes the images in this folder, with the two tools that need environments of their own.

python -m venv ozp && ozp/bin/pip install ome-zarr==0.18.0 && ozp/bin/python make.py
python -m venv nz && nz/bin/pip install ngff-zarr==0.50.0 && nz/bin/python make.py
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
SHAPE = (9, 14, 25)


def voxels(channels: int = 0) -> np.ndarray:
    """Return (z, y, x) or (c, z, y, x), none of them 0."""
    shape = (channels, *SHAPE) if channels else SHAPE
    steps = np.array([40, 3, 5, 7])[-len(shape) :].reshape(-1, *[1] * len(shape))
    return (1 + (np.indices(shape) * steps).sum(0) % 250).astype("uint16")


def labels() -> np.ndarray:
    """Return (z, y, x): eight boxes of one label each."""
    z, y, x = np.indices(SHAPE)
    return (1 + (z > 5) + 2 * (y > 9) + 4 * (x > 16)).astype("uint32")


def keep(name: str, write: Callable[[Path], None]) -> None:
    """Store the image that a function writes."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "image")
        archive = shutil.make_archive(str(FOLDER / name), "xztar", Path(folder) / "image")
        print(archive, Path(archive).stat().st_size)


def with_ome_zarr_py() -> None:
    """Write images of OME-Zarr 0.4 and 0.5, one with labels."""
    import zarr
    from ome_zarr.format import FormatV04, FormatV05
    from ome_zarr.writer import write_image, write_labels

    tool = f"ome-zarr-py-{version('ome-zarr')}"
    micrometres = dict.fromkeys("zyx", "micrometer")
    size = {"z": 0.04, "y": 0.004, "x": 0.004}
    halves = [{"z": 1, "y": 2, "x": 2}, {"z": 1, "y": 4, "x": 4}]

    def write(folder: Path, fmt: FormatV04, channels: int) -> None:
        group = zarr.open_group(folder, mode="w", zarr_format=fmt.zarr_format)
        axes, scale = "czyx" if channels else "zyx", {"c": 1} if channels else {}
        write_image(
            voxels(channels), group, fmt=fmt, axes=axes, scale=scale | size, axes_units=micrometres,
            scale_factors=halves,
            storage_options={"chunks": (1, 4, 8, 16)[-len(axes) :]},
        )  # fmt: skip
        if not channels:
            write_labels(
                labels(), group, name="boxes", scaler=None, fmt=fmt, axes="zyx", scale=size,
                axes_units=micrometres, scale_factors=halves,
                storage_options={"chunks": (4, 8, 16)},
            )  # fmt: skip

    for name, fmt in (("0.4", FormatV04()), ("0.5", FormatV05())):
        keep(f"{tool}_{name}_labels", lambda folder, fmt=fmt: write(folder, fmt, 0))
        keep(f"{tool}_{name}_channels", lambda folder, fmt=fmt: write(folder, fmt, 2))


def with_ngff_zarr() -> None:
    """Write images of OME-Zarr 0.4 and 0.5, the latter in shards, too."""
    import ngff_zarr

    tool = f"ngff-zarr-{version('ngff-zarr')}"
    size = {"z": 40.0, "y": 4.0, "x": 4.0}

    def write(folder: Path, name: str, **options: int) -> None:
        image = ngff_zarr.to_ngff_image(
            voxels(), dims="zyx", scale=size, translation={"z": 20.0, "y": -6.0, "x": 6.0},
            axes_units=dict.fromkeys("zyx", "nanometer"),
        )  # fmt: skip
        scales = ngff_zarr.to_multiscales(image, scale_factors=[2, 4], chunks=8)
        ngff_zarr.to_ngff_zarr(str(folder), scales, version=name, **options)

    keep(f"{tool}_0.4", lambda folder: write(folder, "0.4"))
    keep(f"{tool}_0.5", lambda folder: write(folder, "0.5"))
    keep(f"{tool}_0.5_shards", lambda folder: write(folder, "0.5", chunks_per_shard=2))


if __name__ == "__main__":
    with_ome_zarr_py() if find_spec("ome_zarr") else with_ngff_zarr()
