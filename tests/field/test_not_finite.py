"""Slices of real numbers with NaN or infinity, as registration leaves them outside of a section."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tests.flow.conftest import zblocks
from tests.flow.inprocess import convert
from tests.references import read_info, read_tensorstore
from zblocks.config import Config
from zblocks.planning.stores import open_stores
from zblocks.run.cross_check import compare_samples
from zblocks.run.job import open_job
from zblocks.storage import open_store
from zblocks.verify import Source, VerifyOptions, verify

CHUNKS = {"chunk_size": [16, 16, 16], "sharding": False, "compression": "none"}
SIGNALLING = np.array(0x7F800001, np.uint32).view(np.float32)
"""A NaN that makes arithmetic complain."""


def noise(depth=35, size=(40, 44), seed=0):
    return np.random.default_rng(seed).normal(size=(depth, *size)).astype(np.float32)


def write(folder: Path, planes, **fields) -> Path:
    """Write slices and a config; return the config."""
    (folder / "in").mkdir(parents=True)
    for z, plane in enumerate(planes):
        photometric = "rgb" if plane.ndim == 3 else "minisblack"
        path = folder / f"in/s_{z:03d}.tif"
        tifffile.imwrite(path, plane, metadata=None, photometric=photometric)
    config = folder / "config.json"
    document = {
        "folder_to_convert_from": str(folder / "in"),
        "folder_to_convert_to": str(folder / "out"),
        "voxel_resolution": [1000, 1000, 1000],
        **CHUNKS,
        **fields,
    }
    config.write_text(json.dumps(document))
    return config


def strict(text):
    """Parse JSON as a browser does: NaN and Infinity are no JSON."""

    def refuse(name):
        raise AssertionError(f"{name} in {text[:200]}")

    return json.loads(text, parse_constant=refuse)


def verified(config: Path):
    """Return what `verify --source` finds."""
    job = Config.load(config)
    store = open_store(job.destination)
    return verify(store, VerifyOptions(Source(job, open_stores(job))))


def converted(config: Path) -> tuple[dict, list[np.ndarray]]:
    """Convert and verify; return the report and all scales (z, y, x, c) as tensorstore reads them.

    Every document must be JSON. A warning by numpy, in whatever thread, is an error here.
    """
    out = config.parent / "out"
    convert(Config.load(config))
    found = verified(config)
    assert found.sound, found.problems
    for path in [out / "info", out / "provenance", *(out / ".zblocks").rglob("*.json")]:
        strict(path.read_text())
    assert (out / ".zblocks/report.html").exists()
    scales = read_tensorstore({"driver": "file", "path": f"{out}/"}, read_info(out))
    report = strict((out / ".zblocks/report.json").read_text())
    assert "page_error" not in report
    return report, scales


@np.errstate(invalid="ignore")
def means(fine):
    """Return the mean of the finite voxels of every 2×2×2, NaN where there are none."""
    shape = [-(-n // 2) for n in fine.shape[:3]]
    coarse = np.full((*shape, fine.shape[3]), np.nan)
    for z, y, x in itertools.product(*map(range, shape)):
        cube = fine[2 * z : 2 * z + 2, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].astype(float)
        for c in range(fine.shape[3]):
            values = cube[..., c][np.isfinite(cube[..., c])]
            coarse[z, y, x, c] = values.sum() / len(values) if len(values) else np.nan
    return coarse


def check_scales(scales, planes):
    """Compare scale 0 with the planes bit for bit, and each further scale with the one before."""
    np.testing.assert_array_equal(scales[0][..., 0], planes)
    assert len(scales) > 1
    for finer, coarser in itertools.pairwise(scales):
        np.testing.assert_allclose(coarser, means(finer), rtol=1e-6, atol=1e-7)


def corner(value, first=0):
    planes = noise()
    planes[first:, :20, :21] = value
    return planes


def scattered():
    planes, chosen = noise(), np.random.default_rng(1).random((35, 40, 44))
    planes[chosen < 0.5], planes[chosen < 0.3], planes[chosen < 0.15] = np.nan, np.inf, -np.inf
    return planes


def some_slices(value):
    planes = noise() + 100
    planes[:3], planes[20], planes[-1] = value, value, value
    return planes


def first_rows():
    """Only rows whose number is 1, 2, … 7 modulo 8 hold numbers."""
    planes = noise() + 100
    planes[10, ::8] = np.nan
    return planes


STACKS = {
    "nan": lambda: corner(np.nan),
    "infinity": lambda: corner(np.inf),
    "minus infinity": lambda: corner(-np.inf),
    "a NaN that signals": lambda: corner(SIGNALLING),
    "later slices": lambda: corner(np.nan, 20),
    "all of these, scattered": scattered,
    "slices of NaN alone": lambda: some_slices(np.nan),
    "slices of infinity alone": lambda: some_slices(np.inf),
    "every eighth row": first_rows,
    "largest numbers": lambda: corner(np.finfo(np.float32).max),
    "halves": lambda: corner(np.nan).astype(np.float16),
    "halves of infinity": lambda: corner(-np.inf).astype(np.float16),
}


@pytest.mark.parametrize("name", STACKS)
def test_a_coarser_voxel_is_the_mean_of_the_finite_ones(tmp_path, name):
    planes = STACKS[name]()
    report, scales = converted(write(tmp_path, planes))
    check_scales(scales, planes.astype(np.float32))
    finite = planes[np.isfinite(planes)].astype(float)
    low, high = report["contrast"]
    assert finite.min() <= low < high <= finite.max()
    assert report["slices"]["duplicates"] == []
    assert report["slices"]["outliers"] == []


def test_nothing_is_said_on_the_terminal(tmp_path):
    config, out = write(tmp_path, scattered()), tmp_path / "out"
    for arguments in (("plan", config), ("convert", config)):
        done = zblocks(*arguments)
        assert done.code == 0, done.err
        assert "Warning" not in done.out + done.err
    done = zblocks("verify", out, "--source", config, "--json")
    assert done.code == 0
    assert done.err == ""
    assert strict(done.out)["sound"]


LAYOUTS = {
    "strips": {"rowsperstrip": 16},
    "big-endian": {"byteorder": ">"},
    "deflate": {"compression": "zlib", "rowsperstrip": 16},
    "predictor": {"compression": "zlib", "predictor": True, "rowsperstrip": 16},
    "predictor, LZW, big-endian": {"compression": "lzw", "predictor": True, "byteorder": ">"},
    "predictor, zstd": {"compression": "zstd", "predictor": True},
    "predictor, tiles": {"compression": "zlib", "predictor": True, "tile": (16, 32)},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("colours", ["minisblack", "rgb", "separate"])
def test_halves_keep_nan(tmp_path, layout, colours):
    """libvips makes infinity of it."""
    planes = np.random.default_rng(0).normal(size=(2, 40, 50, 3)).astype(np.float16)
    planes[:, :9], planes[:, 9:12], planes[:, 12:14] = np.nan, np.inf, -np.inf
    planes[0, 0, 0] = np.array(0x7C01, np.uint16).view(np.float16)
    planes = planes[..., 0] if colours == "minisblack" else planes
    config = write(tmp_path, [])
    for z, plane in enumerate(planes):
        stored, how = plane, {"photometric": "minisblack" if plane.ndim == 2 else "rgb"}
        if colours == "separate":
            stored, how = np.moveaxis(plane, -1, 0), how | {"planarconfig": "separate"}
        path = tmp_path / f"in/s_{z}.tif"
        tifffile.imwrite(path, stored, metadata=None, **how, **LAYOUTS[layout])
        assert np.array_equal(np.isnan(tifffile.imread(path)), np.isnan(stored))
    _, scales = converted(config)
    np.testing.assert_array_equal(scales[0], planes.reshape(2, 40, 50, -1).astype(np.float32))


def test_a_block_and_a_volume_of_nan_alone(tmp_path):
    planes = noise(150, (20, 20))
    planes[:70] = np.nan
    report, scales = converted(write(tmp_path / "block", planes, chunk_size=[16, 16, 8]))
    assert report["blocks"] > 1
    check_scales(scales, planes)
    report, scales = converted(write(tmp_path / "volume", np.full((20, 20, 20), np.nan, "f4")))
    assert report["contrast"] is None
    assert all(np.isnan(scale).all() for scale in scales)


def test_a_slice_without_a_number_is_called_so(tmp_path):
    """Neither 0 nor an outlier in brightness."""
    report, _ = converted(write(tmp_path, some_slices(np.nan)))
    blank = report["slices"]["blank"]
    assert [(b["z"], b["value"]) for b in blank] == [(z, None) for z in (0, 1, 2, 20, 34)]
    page = (tmp_path / "out/.zblocks/report.html").read_text()
    assert "every pixel is NaN or infinite" in page
    assert "every pixel is 0" not in page


def test_real_colours(tmp_path):
    planes = np.stack([corner(np.inf), corner(-np.inf), noise()], axis=-1)
    config = write(tmp_path, planes)
    _, scales = converted(config)
    np.testing.assert_array_equal(scales[0], planes)
    np.testing.assert_allclose(scales[1], means(planes), rtol=1e-6, atol=1e-7)
    shutil.rmtree(config.parent / "out")
    config.write_text(json.dumps(json.loads(config.read_text()) | {"channels": "grey"}))
    _, scales = converted(config)
    assert np.isnan(scales[0][:, :20, :21]).all()  # infinity less infinity
    assert np.isfinite(scales[0][:, 20:]).all()


@pytest.mark.parametrize("way", [{"percentiles": [0, 100]}, {"range": [-2, 2]}])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_contrast_makes_black_of_nan(tmp_path, way, dtype):
    planes = corner(np.nan)
    planes[:, -4:], planes[:, -8:-4] = np.inf, -np.inf
    planes[7] = SIGNALLING
    _, scales = converted(write(tmp_path, planes, contrast=way, dtype=dtype))
    finite = planes[np.isfinite(planes)].astype(float)
    low, high = way.get("range", (finite.min(), finite.max()))
    top = np.iinfo(dtype).max
    with np.errstate(all="ignore"):
        due = np.rint(np.clip((planes.astype(float) - low) * top / (high - low), 0, top))
    due[np.isnan(planes)] = 0
    np.testing.assert_array_equal(scales[0][..., 0], due)


def test_percentiles_of_no_number_are_refused(tmp_path):
    planes = np.full((3, 20, 20), np.nan, np.float32)
    config = write(tmp_path, planes, contrast={"percentiles": [1, 99]}, dtype="uint8")
    done = zblocks("plan", config)
    assert done.code == 2
    assert "contrast: the 3 measured slices hold no finite number; give" in done.err
    assert "Warning" not in done.err


def test_between_two_slices_a_number_wins(tmp_path):
    """A slice interpolated between a number and NaN holds the number."""
    planes = noise(9)
    planes[3, :20], planes[5, 10:30] = np.nan, np.inf
    planes[3, 35], planes[5, 35] = np.inf, -np.inf
    config = write(tmp_path, planes, missing="interpolate", filter={"regex": r"s_(?P<z>\d+)\.tif"})
    (tmp_path / "in/s_004.tif").unlink()
    _, scales = converted(config)
    a, b = planes[3].astype(float), planes[5].astype(float)
    due = np.nanmean(np.where(np.isfinite([a, b]), [a, b], np.nan)[:, :10], axis=0)
    np.testing.assert_allclose(scales[0][4, :10, :, 0], due, rtol=1e-6)
    assert np.isnan(scales[0][4, 10:20]).all()
    np.testing.assert_array_equal(scales[0][4, 20:30, :, 0], planes[3, 20:30])
    assert np.isnan(scales[0][4, 35]).all()


def test_the_second_reader_reads_nan(tmp_path):
    """Before it is published on AWS, cloud-volume reads chunks of the volume."""
    config = write(tmp_path, corner(np.nan))
    converted(config)
    job = open_job(Config.load(config).destination)
    assert compare_samples(job, ()) > 3


def test_another_nan_is_no_difference_and_a_number_is(tmp_path):
    """`verify` takes NaN for equal to NaN, and nothing else."""
    planes = corner(np.nan)
    config = write(tmp_path, planes)
    converted(config)
    out = tmp_path / "out"
    chunk = out / "1000_1000_1000/0-16_0-16_0-16"
    data = np.frombuffer(chunk.read_bytes(), "<f4").copy()
    assert np.isnan(data[0])
    data[0] = SIGNALLING
    chunk.write_bytes(data.tobytes())
    assert not {"source-differs", "scale-differs"} & set(verified(config).counts)
    data[0] = 0
    chunk.write_bytes(data.tobytes())
    assert {"source-differs", "scale-differs"} <= set(verified(config).counts)
