"""The viewer's link: whatever isn't constant is seen in it, without touching the contrast."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import tensorstore
import tifffile

from tests.flow import inprocess
from tests.flow.conftest import zblocks
from zblocks.config import Config
from zblocks.neuroglancer import viewer_link
from zblocks.storage import open_store
from zblocks.view.contrast import read_viewed_volume

DEPTH, HEIGHT, WIDTH = SHAPE = (20, 64, 72)


def rng(seed=3):
    return np.random.default_rng(seed)


def sparse(dtype, background, low, high, part=5e-4):
    """Signal in few voxels on a background of one value."""
    voxels = np.full(SHAPE, background, dtype)
    chosen = rng().random(SHAPE) < part
    voxels[chosen] = rng().integers(low, high, chosen.sum())
    return voxels


def band(dtype, low, high):
    return rng().integers(low, high, SHAPE).astype(dtype)


def with_defects(voxels, low, high):
    """One voxel of a detector is dead, another one burns."""
    voxels = voxels.copy()
    voxels[3, 8, 9], voxels[4, 16, 20] = low, high
    return voxels


def bright_rows():
    """Rows that are no multiples of eight, on a ground of one value."""
    voxels = np.full(SHAPE, 90, "u2")
    voxels[:, 21:24] = 5000
    return voxels


def noisy_rows():
    voxels = band("u2", 90, 110)
    voxels[:, 21:25] += 3000
    return voxels


def two_halves():
    voxels = np.full(SHAPE, 7, "u2")
    voxels[DEPTH // 2 :] = 9
    return voxels


def outliers(part, value):
    voxels = rng().normal(size=SHAPE).astype("f4")
    voxels[rng(4).random(SHAPE) < part] = value
    return voxels


def nothing():
    """A number that stands for nothing, in a corner."""
    voxels = rng().normal(size=SHAPE).astype("f4")
    voxels[:, :14, :14] = np.finfo("f4").min
    return voxels


def padded(voxels, *values):
    """What was written where there is no section: a fifth of each slice for each value."""
    voxels = voxels.copy()
    for n, value in enumerate(values):
        voxels[:, :, 14 * n : 14 * n + 14] = value
    return voxels


GREYS = {
    "sparse, 16 bits": lambda: sparse("u2", 100, 800, 3000),
    "sparse, in larger slices": lambda: np.tile(sparse("u2", 100, 800, 3000), (1, 3, 3)),
    "sparse, 8 bits": lambda: sparse("u1", 0, 20, 30),
    "sparse, real": lambda: sparse("f4", 0.5, 3, 9),
    "a single voxel": lambda: with_defects(np.zeros(SHAPE, "u2"), 0, 3),
    "a narrow band": lambda: band("u2", 30000, 30010),
    "a narrow band with defects": lambda: with_defects(band("u2", 30000, 30010), 0, 65535),
    "a narrow band across 2^15": lambda: band("u2", 32760, 32776),
    "two values": lambda: band("u2", 512, 514),
    "bright rows": bright_rows,
    "bright rows in noise": noisy_rows,
    "two halves": two_halves,
    "dark, 8 bits": lambda: band("u1", 0, 4),
    "dark, 12 of 16 bits": lambda: band("u2", 100, 400),
    "real": lambda: outliers(0, 0),
    "one real outlier": lambda: with_defects(outliers(0, 0), -1e30, 1e30),
    "real outliers": lambda: outliers(0.005, 1e6),
    "a number for nothing": nothing,
    "a number for nothing, in many": lambda: padded(outliers(0, 0), -9999),
    "strange outliers": lambda: outliers(0.005, rng().normal(0, 1e5, SHAPE)[:1].max()),
    "padded with black": lambda: padded(band("u2", 30000, 30100), 0),
    "padded with white": lambda: padded(band("u2", 100, 400), 65535),
    "padded with both": lambda: padded(band("u2", 30000, 30100), 0, 65535),
    "sparse and alike": lambda: sparse("u2", 0, 1000, 1010),
    "NaN and infinity": lambda: with_defects(outliers(0.3, np.nan), -np.inf, np.inf),
    "signed, 8 bits": lambda: band("i1", -20, -8),
    "signed, 16 bits": lambda: with_defects(band("i2", -1000, -900), -32768, 32767),
    "signed, 32 bits": lambda: with_defects(band("i4", 10**6, 10**6 + 50), -(2**31), 2**31 - 1),
    "32 bits": lambda: with_defects(band("u4", 70_000, 70_100), 0, 2**32 - 1),
}


def convert(folder: Path, voxels, photometric="minisblack", **fields):
    """Write slices with tifffile and convert them; return the report."""
    (folder / "in").mkdir(parents=True, exist_ok=True)
    planar = "contig" if np.ndim(voxels) == 4 else None
    for z, plane in enumerate(voxels):
        path = folder / f"in/s_{z:03d}.tif"
        tifffile.imwrite(path, plane, metadata=None, photometric=photometric, planarconfig=planar)
    config = folder / "config.json"
    document = {
        "folder_to_convert_from": str(folder / "in"),
        "folder_to_convert_to": str(folder / "out"),
        "voxel_resolution": [500, 500, 1000],
        **fields,
    }
    config.write_text(json.dumps(document))
    inprocess.convert(Config.load(config))
    return json.loads((folder / "out/.zblocks/report.json").read_text())


def layer_of(link):
    return json.loads(unquote(link.split("#!")[1]))["layers"][0]


def viewed(out: Path):
    """Return the layer that `zblocks view` shows of a volume."""
    return layer_of(viewer_link(read_viewed_volume(open_store(out.as_uri())), "http://host/v"))


def check_seen(values, shown):
    """Fail unless the range that is shown lies in the values and tells them apart."""
    finite = values[np.isfinite(values)].astype(float)
    low, high = shown
    assert values.dtype.kind == "f" or {type(low), type(high)} == {int}  # as the viewer wants it
    assert finite.min() <= low < high <= finite.max()
    grey = np.clip((finite - low) / (high - low), 0, 1)
    few = np.quantile(finite, 0.05) == np.quantile(finite, 0.95)
    there = grey if few else np.quantile(grey, [0.05, 0.95])
    assert there.max() - there.min() > 0.3


@pytest.mark.parametrize("name", GREYS)
def test_grey(tmp_path, name):
    """The same range in the report, in its link and in `view`; one of its own without a report."""
    voxels = GREYS[name]()
    report = convert(tmp_path, voxels)
    check_seen(voxels, report["contrast"])
    layer = layer_of(report["link"])
    assert layer["shaderControls"] == {"normalized": {"range": report["contrast"]}}
    assert viewed(tmp_path / "out")["shaderControls"] == layer["shaderControls"]
    assert "page_error" not in report
    if name.startswith("sparse"):
        assert report["contrast"] == [voxels.min(), voxels.max()]
    shutil.rmtree(tmp_path / "out/.zblocks")
    again = viewed(tmp_path / "out")["shaderControls"]["normalized"]["range"]
    check_seen(voxels, again)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4"])
def test_a_constant_stack_has_no_range(tmp_path, dtype):
    report = convert(tmp_path, np.full(SHAPE, 9, dtype))
    assert report["contrast"] is None
    assert "shaderControls" not in layer_of(report["link"])
    assert "shaderControls" not in viewed(tmp_path / "out")


def test_a_filled_slice_is_seen_among_constant_ones(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for z in (0, 1, 3, 4):
        tifffile.imwrite(folder / f"s_{z}.tif", np.full((40, 40), 900, "u2"), metadata=None)
    report = convert(tmp_path, [], filter={"regex": r"s_(?P<z>\d+)\.tif"})
    assert report["contrast"] == [0, 900]


def test_colours_of_16_bits_share_a_range(tmp_path):
    """So that the colours stay what they are."""
    voxels = np.stack([band("u2", 0, 300), band("u2", 0, 2000), band("u2", 500, 900)], axis=-1)
    report = convert(tmp_path, voxels, "rgb")
    layer = layer_of(report["link"])
    check_seen(voxels, layer["shaderControls"]["normalized"]["range"])
    assert list(layer["shaderControls"]) == ["normalized"]
    assert viewed(tmp_path / "out")["shaderControls"] == layer["shaderControls"]


def test_red_green_and_blue_of_16_bits_that_differ_have_a_range_each(tmp_path):
    """As stains have, which are no colours of a picture."""
    tops = (300, 40_000, 9)
    voxels = np.stack([band("u2", 0, top) for top in tops], axis=-1)
    report = convert(tmp_path, voxels, "rgb")
    layer = layer_of(report["link"])
    assert list(layer["shaderControls"]) == ["channel0", "channel1", "channel2"]
    for n, control in enumerate(layer["shaderControls"].values()):
        check_seen(voxels[..., n], control["range"])
    assert viewed(tmp_path / "out")["shaderControls"] == layer["shaderControls"]
    assert "page_error" not in report


def test_dark_colours_of_8_bits_have_a_range(tmp_path):
    """Others are shown as they are."""
    dark = np.stack([band("u1", 0, 9), band("u1", 0, 12), band("u1", 3, 5)], axis=-1)
    report = convert(tmp_path / "dark", dark, "rgb")
    layer = layer_of(report["link"])
    check_seen(dark, layer["shaderControls"]["normalized"]["range"])
    assert viewed(tmp_path / "dark/out")["shaderControls"] == layer["shaderControls"]
    usual = np.stack([band("u1", 30, 200)] * 3, axis=-1)
    report = convert(tmp_path / "usual", usual, "rgb")
    assert report["contrast"] is None
    assert "shaderControls" not in layer_of(report["link"])
    assert "shaderControls" not in viewed(tmp_path / "usual/out")


@pytest.mark.parametrize(
    ("dtype", "tops"),
    [
        ("u2", [300, 2000, 500, 40_000]),
        ("u2", [40_000, 50]),
        ("u1", [200, 9]),
        ("f4", [1, 1e-3, 1e6, 1, 1e-9]),
    ],
)
def test_channels_that_are_no_colours_have_a_range_each(tmp_path, dtype, tops):
    """All are shown, in colours of their own, and each can be seen."""
    voxels = (rng().random((*SHAPE, len(tops))) * tops).astype(dtype)
    report = convert(tmp_path, voxels)
    layer = layer_of(report["link"])
    controls = layer["shaderControls"]
    assert len(controls) == len(tops)
    for n, name in enumerate(controls):
        assert f"#uicontrol invlerp {name}(channel={n})" in layer["shader"]
        check_seen(voxels[..., n], controls[name]["range"])
        assert layer["shader"].count(f"{name}()") == 1
    assert viewed(tmp_path / "out")["shaderControls"] == controls
    assert "page_error" not in report
    older = {k: v for k, v in report.items() if k != "contrast_of_channels"}
    (tmp_path / "out/.zblocks/report.json").write_text(json.dumps(older))
    assert list(viewed(tmp_path / "out")["shaderControls"]) == list(controls)
    low, high = report["contrast"]
    assert low == min(c["range"][0] for c in controls.values())
    assert high == max(c["range"][1] for c in controls.values())


def test_a_constant_channel_is_left_out(tmp_path):
    """As the alpha of 16-bit colours."""
    voxels = np.stack([*(band("u2", 0, top) for top in (9, 900, 99)), np.full(SHAPE, 65535)], -1)
    report = convert(tmp_path, voxels.astype("u2"))
    layer = layer_of(report["link"])
    assert list(layer["shaderControls"]) == ["channel0", "channel1", "channel2"]
    assert "channel3" not in layer["shader"]


def test_many_channels_have_a_menu(tmp_path):
    voxels = (rng().random((*SHAPE, 9)) * 400).astype("u2")
    layer = layer_of(convert(tmp_path, voxels)["link"])
    assert "emitGrayscale(normalized())" in layer["shader"]
    check_seen(voxels, layer["shaderControls"]["normalized"]["range"])


def test_a_volume_of_another_tool_whose_coarsest_scale_is_constant(tmp_path):
    """What can't be seen there is looked for in the finer scale."""
    voxels = sparse("u2", 100, 800, 3000)
    for key, values in ((1, voxels), (2, np.full((10, 32, 36), 100, "u2"))):
        spec = {
            "driver": "neuroglancer_precomputed",
            "kvstore": {"driver": "file", "path": f"{tmp_path}/v/"},
            "multiscale_metadata": {"type": "image", "data_type": "uint16", "num_channels": 1},
            "scale_metadata": {
                "size": list(values.shape[::-1]), "encoding": "raw", "chunk_size": [16, 16, 16],
                "resolution": [key, key, key],
            },
            "create": True, "open": True,
        }  # fmt: skip
        store = tensorstore.open(spec).result()
        store.write(values.transpose()[..., np.newaxis]).result()
    check_seen(voxels, viewed(tmp_path / "v")["shaderControls"]["normalized"]["range"])


@pytest.mark.parametrize("dtype", ["u2", "f4", "i2"])
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_the_plan_does_not_warn_of_a_black_link(tmp_path, dtype, channels):
    voxels = (rng().random((6, 32, 32, channels)) * 4000).astype(dtype)
    (tmp_path / "in").mkdir()
    for z, plane in enumerate(voxels):
        path = tmp_path / f"in/s_{z}.tif"
        how = {"planarconfig": "contig"} if channels > 1 else {}
        flat = plane if channels > 1 else plane[..., 0]
        tifffile.imwrite(path, flat, metadata=None, photometric="minisblack", **how)
    config = tmp_path / "config.json"
    document = {
        "folder_to_convert_from": str(tmp_path / "in"),
        "folder_to_convert_to": str(tmp_path / "out"),
        "voxel_resolution": [500, 500, 1000],
    }
    config.write_text(json.dumps(document))
    done = zblocks("plan", config)
    assert done.code == 0
    assert "black" not in done.out
    assert "contrast" not in done.out


@pytest.mark.parametrize(
    ("resolution", "metres"),
    [
        ([500, 500, 1000], [5e-07, 5e-07, 1e-06]),
        ([4.7, 0.1, 40.1], [4.7e-09, 1e-10, 4.01e-08]),
        ([350, 12.5, 7e8], [3.5e-07, 1.25e-08, 0.7]),
    ],
)
def test_the_link_holds_lengths_as_a_person_writes_them(tmp_path, resolution, metres):
    report = convert(tmp_path, band("u1", 0, 9), voxel_resolution=resolution)
    state = json.loads(unquote(report["link"].split("#!")[1]))
    assert [state["dimensions"][axis] for axis in "xyz"] == [[m, "m"] for m in metres]
    assert "00000001" not in json.dumps(state["dimensions"])
