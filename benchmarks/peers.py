"""The same job by each peer: slices to 64³ chunks, five scales of 2×2×2, on local disk.

`python -m benchmarks.peers TOOL SLICES OUT`, run by the environment that has the peers.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

SCALES, CHUNK, NM = 5, 64, 1000


def read_slice(path: Path) -> np.ndarray:
    """Return a slice (y, x) as Pillow or tifffile reads it."""
    if path.suffix == ".tif":
        import tifffile

        return tifffile.imread(path)
    from PIL import Image

    return np.asarray(Image.open(path))


def slices_of(folder: Path) -> list[Path]:
    """Return the slices in order."""
    return sorted(p for p in folder.iterdir() if p.suffix in (".jpg", ".tif"))


def shape_of(paths: list[Path]) -> tuple[int, int, int, str]:
    """Return x, y, z and the data type."""
    first = read_slice(paths[0])
    return first.shape[1], first.shape[0], len(paths), str(first.dtype)


def neuroglancer_scripts(folder: Path, out: Path, *, gzip: bool) -> None:
    """Run the 2019 script's own commands; with `gzip`, its compressed form."""
    x, y, z, dtype = shape_of(slices_of(folder))
    out.mkdir(parents=True)
    info = {
        "type": "image",
        "data_type": dtype,
        "num_channels": 1,
        "scales": [
            {"size": [x, y, z], "resolution": [NM] * 3, "encoding": "raw", "voxel_offset": [0] * 3}
        ],
    }
    full = out / "info_fullres.json"
    full.write_text(json.dumps(info))
    tools = Path(sys.executable).parent
    flags = ["--flat"] if gzip else ["--flat", "--no-gzip"]
    scales = [str(tools / "generate-scales-info"), str(full), str(out), "--max-scales", str(SCALES)]
    subprocess.run(scales, check=True)
    images = [str(tools / "slices-to-precomputed"), *flags, "--input-orientation", "RAS"]
    subprocess.run([*images, str(folder), str(out)], check=True)
    subprocess.run([str(tools / "compute-scales"), *flags, str(out)], check=True)


def cloudvolume_igneous(folder: Path, out: Path, *, compress: str | bool) -> None:
    """Write slabs of 64 slices with cloud-volume, then downsample with igneous."""
    import igneous.task_creation as tc
    from cloudvolume import CloudVolume
    from taskqueue import LocalTaskQueue

    paths = slices_of(folder)
    x, y, z, dtype = shape_of(paths)
    info = CloudVolume.create_new_info(
        1, "image", dtype, "raw", [NM] * 3, [0] * 3, [x, y, z], [CHUNK] * 3
    )
    url = f"precomputed://file://{out}"
    volume = CloudVolume(url, info=info, compress=compress, parallel=2, progress=False)
    volume.commit_info()
    for z0 in range(0, z, CHUNK):
        planes = [read_slice(p).T for p in paths[z0 : z0 + CHUNK]]
        volume[:, :, z0 : z0 + len(planes)] = np.stack(planes, axis=2)
    tasks = tc.create_downsampling_tasks(
        url, mip=0, num_mips=SCALES - 1, factor=(2, 2, 2), compress=compress,
        chunk_size=[CHUNK] * 3,
    )  # fmt: skip
    LocalTaskQueue(parallel=2, progress=False).insert(tasks)


def tensorstore_volume(folder: Path, out: Path, *, sharded: bool) -> None:
    """Write slabs with tensorstore; each coarser scale from the finer one, read back."""
    import tensorstore as ts

    paths = slices_of(folder)
    x, y, z, dtype = shape_of(paths)
    size, store = [x, y, z], None
    for scale in range(SCALES):
        finer, store = store, open_scale(ts, out, scale, (size, dtype, sharded))
        if finer is None:
            write_slabs(ts, store, paths, sharded=sharded)
        else:
            small = ts.downsample(finer, [2, 2, 2, 1], "mean")
            copy(ts, store, small, sharded=sharded)
        size = [-(-n // 2) for n in size]


def open_scale(ts, out: Path, scale: int, what: tuple) -> object:
    """Create one scale."""
    size, dtype, sharded = what
    metadata = {
        "size": size,
        "resolution": [NM * 2**scale] * 3,
        "chunk_size": [CHUNK] * 3,
        "encoding": "raw",
        "key": str(scale),
    }
    if sharded:
        metadata["sharding"] = {
            "@type": "neuroglancer_uint64_sharded_v1",
            "preshift_bits": 9,
            "minishard_bits": 0,
            "shard_bits": 15,
            "hash": "identity",
            "minishard_index_encoding": "gzip",
            "data_encoding": "gzip",
        }
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{out}/"},
        "multiscale_metadata": {"data_type": dtype, "num_channels": 1, "type": "image"},
        "scale_metadata": metadata,
        "store_data_equal_to_fill_value": True,
    }
    return ts.open(spec, create=True, open=True).result()


def write_slabs(ts, store, paths: list[Path], *, sharded: bool) -> None:
    """Write 64 slices at a time; sharded, all in one transaction."""
    transaction = ts.Transaction() if sharded else None
    target = store.with_transaction(transaction) if sharded else store
    for z0 in range(0, len(paths), CHUNK):
        slab = np.stack([read_slice(p) for p in paths[z0 : z0 + CHUNK]])
        target[:, :, z0 : z0 + len(slab), 0] = slab.transpose(2, 1, 0)
    if transaction:
        transaction.commit_async().result()


def copy(ts, store, small, *, sharded: bool) -> None:
    """Write a downsampled view, slab by slab; sharded, in one transaction."""
    transaction = ts.Transaction() if sharded else None
    target = store.with_transaction(transaction) if sharded else store
    for z0 in range(0, small.shape[2], CHUNK):
        z1 = min(z0 + CHUNK, small.shape[2])
        target[:, :, z0:z1, :] = small[:, :, z0:z1, :].read().result()
    if transaction:
        transaction.commit_async().result()


def tensorstore_zarr(folder: Path, out: Path) -> None:
    """Write a Zarr 3 array per scale with tensorstore, as `tensorstore_volume` does."""
    import tensorstore as ts

    paths = slices_of(folder)
    x, y, z, dtype = shape_of(paths)
    size, store = [z, y, x], None
    codecs = [{"name": "bytes"}, {"name": "gzip", "configuration": {"level": 1}}]
    for scale in range(SCALES):
        grid = {"name": "regular", "configuration": {"chunk_shape": [CHUNK] * 3}}
        spec = {
            "driver": "zarr3",
            "kvstore": {"driver": "file", "path": f"{out}/{scale}/"},
            "metadata": {"shape": size, "data_type": dtype, "chunk_grid": grid, "codecs": codecs},
        }
        finer, store = store, ts.open(spec, create=True, open=True).result()
        for z0 in range(0, size[0], CHUNK):
            z1 = min(z0 + CHUNK, size[0])
            if finer is None:
                store[z0:z1] = np.stack([read_slice(p) for p in paths[z0:z1]])
            else:
                store[z0:z1] = ts.downsample(finer, [2, 2, 2], "mean")[z0:z1].read().result()
        size = [-(-n // 2) for n in size]


def ngff_zarr(folder: Path, out: Path) -> None:
    """Write an OME-Zarr image with ngff-zarr, as it compresses by default; dask reads the slices."""
    import dask.array as da
    import ngff_zarr as nz
    from dask import delayed

    paths = slices_of(folder)
    x, y, _, dtype = shape_of(paths)
    planes = [da.from_delayed(delayed(read_slice)(p), (y, x), dtype) for p in paths]
    stack = da.stack(planes).rechunk((CHUNK,) * 3)
    image = nz.to_ngff_image(stack, dims=["z", "y", "x"], scale=dict.fromkeys("zyx", float(NM)))
    factors = [2**n for n in range(1, SCALES)]
    method = nz.Methods.DASK_IMAGE_GAUSSIAN
    scales = nz.to_multiscales(image, scale_factors=factors, chunks=CHUNK, method=method)
    nz.to_ngff_zarr(str(out), scales, version="0.5")


TOOLS = {
    "neuroglancer-scripts raw": lambda i, o: neuroglancer_scripts(i, o, gzip=False),
    "neuroglancer-scripts gzip": lambda i, o: neuroglancer_scripts(i, o, gzip=True),
    "cloud-volume + igneous gzip": lambda i, o: cloudvolume_igneous(i, o, compress="gzip"),
    "tensorstore raw": lambda i, o: tensorstore_volume(i, o, sharded=False),
    "tensorstore zarr3 gzip": tensorstore_zarr,
    "ngff-zarr": ngff_zarr,
    "tensorstore sharded gzip": lambda i, o: tensorstore_volume(i, o, sharded=True),
}

OME_ZARR = ["tensorstore zarr3 gzip", "ngff-zarr"]  # those that write Zarr


if __name__ == "__main__":
    TOOLS[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
