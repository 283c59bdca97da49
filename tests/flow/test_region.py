"""Regions, order and turns: every voxel of every scale is where the config says."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tests.flow.conftest import textured, write_slice, write_stack, zblocks
from tests.references import framed, pyramid_of, read_info, read_tensorstore

CASES = {
    "crop": {"region": {"x": [5, 61], "y": [7, 40], "z": [3, 20]}},
    "one row of pixels": {"region": {"y": [51, 52]}},
    "z alone": {"region": {"z": [1, 3]}},
    "every third, from the second": {"region": {"z": [1, 23]}, "every": 3},
    "reversed": {"reverse_z": True},
    "every other, reversed": {"every": 2, "reverse_z": True},
    "x flipped": {"flip": "x"},
    "y flipped": {"flip": "y"},
    "turned": {"turn": 90},
    "half a turn": {"turn": 180},
    "turned, then flipped": {"turn": 270, "flip": "x"},
    "everything": {
        "region": {"x": [5, 61], "y": [7, 40], "z": [3, 22]},
        "every": 2,
        "reverse_z": True,
        "turn": 90,
        "flip": "xy",
    },
}


def held(folder):
    """Read a volume, every scale, (z, y, x, c)."""
    info = read_info(folder)
    return info, read_tensorstore({"driver": "file", "path": f"{folder}/"}, info)


def check(tmp_path, config, due):
    """Hold every scale against the slices' voxels, and let verify do so, too."""
    info, found = held(tmp_path / "out")
    assert len(found) > 1
    for ours, expected in zip(found, pyramid_of(due, info), strict=True):
        np.testing.assert_array_equal(ours, expected)
    verified = zblocks("verify", tmp_path / "out", "--source", config)
    assert verified.code == 0, verified.out + verified.err
    return info


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ((".tif", "uint16", 1), {"voxel_offset": [-3, 5, 7]}),
        ((".jpg", "uint8", 3), {"sharding": True, "voxel_offset": [1, 0, -5]}),
    ],
)
def test_every_voxel(tmp_path, write_config, case, kind, fields):
    """A missing slice among them, odd offsets, chunks that don't divide anything."""
    ext, dtype, channels = kind
    voxels = write_stack(tmp_path / "in", textured((23, 52, 70, channels), dtype), ext)
    (tmp_path / "in" / f"s_011{ext}").unlink()
    voxels[11] = 9
    fields = {"chunk_size": [16, 8, 4], "compression": "none", "fill_value": 9, **fields}
    config = write_config(**fields, **CASES[case])
    done = zblocks("convert", config)
    assert done.code == 0, done.err
    info = check(tmp_path, config, framed(voxels, **CASES[case]))
    assert info["scales"][0]["voxel_offset"] == fields["voxel_offset"]


def test_a_region_and_a_turn_of_a_canvas(tmp_path, write_config):
    """Slices of other sizes are placed first; the region counts the canvas's pixels."""
    (tmp_path / "in").mkdir()
    canvas = np.full((9, 60, 80, 1), 200, np.uint8)
    for z in range(9):
        height, width = [(60, 80), (40, 30), (71, 95)][z % 3]
        plane = textured((1, height, width, 1), "uint8", seed=z)[0]
        write_slice(tmp_path / "in" / f"s_{z:03d}.png", plane)
        top, left = (60 - height) // 2, (80 - width) // 2
        for y in range(60):
            for x in range(80):
                if 0 <= y - top < height and 0 <= x - left < width:
                    canvas[z, y, x] = plane[y - top, x - left]
    wishes = {"region": {"x": [3, 78], "y": [11, 60]}, "turn": 270, "flip": "y", "reverse_z": True}
    config = write_config(
        canvas={"size": [80, 60], "fill": 200},
        chunk_size=[16, 8, 4],
        compression="none",
        **wishes,
    )
    assert zblocks("convert", config).code == 0
    check(tmp_path, config, framed(canvas, **wishes))


@pytest.mark.parametrize("wishes", [CASES["crop"], CASES["everything"]])
def test_of_slices_that_are_decoded_whole(tmp_path, write_config, wishes):
    (tmp_path / "in").mkdir()
    voxels = textured((23, 52, 70, 1), "uint16")
    for z, plane in enumerate(voxels):
        Image.fromarray(plane[..., 0]).save(tmp_path / "in" / f"s_{z:03d}.jp2")
    config = write_config(ext=".jp2", chunk_size=[16, 8, 4], compression="none", **wishes)
    assert zblocks("convert", config).code == 0
    check(tmp_path, config, framed(voxels, **wishes))


@pytest.mark.parametrize(
    ("wishes", "strips"),
    [
        ({"region": {"x": [50, 650], "y": [200, 3900]}, "flip": "x"}, True),
        ({"region": {"x": [50, 650], "y": [200, 3900]}, "turn": 90}, False),
    ],
)
@pytest.mark.parametrize("ext", [".jpg", ".tif"])
def test_large_slices_stay_in_their_memory(tmp_path, write_config, ext, wishes, strips):
    """In strips where that can be, else whole in shallower or narrower blocks; the same voxels."""
    y, x = np.ogrid[:4000, :700]
    planes = [((x // 7 + y // 5 + z) % 251).astype(np.uint8) for z in range(32)]
    stack = write_stack(tmp_path / "in", np.stack(planes)[..., None], ext)
    config = write_config(scales=2, compression="none", **wishes)
    assert zblocks("convert", config, "--workers", 1, "--memory", 170, forked=False).code == 0
    plan = json.loads((tmp_path / "out/.zblocks/plan.json").read_text())
    width, height = read_info(tmp_path / "out")["scales"][0]["size"][:2]
    cut = plan["block_shape"][:2] != [0, 0]  # as TIFFs can be
    assert cut or (plan["rows"] < height) == strips
    assert cut or strips or plan["block_shape"][2] < 32
    report = json.loads((tmp_path / "out/.zblocks/report.json").read_text())
    assert report["peak_mb"] <= plan["predicted_peak_mb"] <= 200
    _, found = held(tmp_path / "out")
    due = framed(stack, **wishes)
    assert due.shape[1:3] == (height, width)
    np.testing.assert_array_equal(found[0], due)


def test_the_resolution_follows(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((7, 20, 30, 1), "uint8"))
    config = write_config(voxel_resolution=[3, 4, 40], turn=90, every=3)
    assert zblocks("convert", config).code == 0
    assert read_info(tmp_path / "out")["scales"][0]["resolution"] == [4, 3, 120]
    report = json.loads((tmp_path / "out/.zblocks/report.json").read_text())
    assert "a voxel of the volume is 4 × 3 × 120 nm" in report["notes"]
    framing = json.loads((tmp_path / "out/provenance").read_text())["framing"]
    assert (framing["turn"], framing["every"]) == (90, 3)


def test_slices_outside_are_not_looked_at(tmp_path, write_config):
    """Damaged ones don't matter there, nor does what lies below the region's last row."""
    voxels = write_stack(tmp_path / "in", textured((8, 600, 30, 1), "uint8"), ".jpg")
    for z in (0, 3, 7):
        (tmp_path / "in" / f"s_{z:03d}.jpg").write_bytes(b"no image")
    cut = tmp_path / "in" / "s_002.jpg"
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 3 // 4])
    wishes = {"region": {"y": [10, 100], "z": [2, 7]}, "every": 2}
    assert zblocks("convert", write_config(compression="none", **wishes)).code == 0
    _, found = held(tmp_path / "out")
    np.testing.assert_array_equal(found[0], framed(voxels, **wishes))


def test_it_resumes_and_names_what_differs(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((7, 20, 30, 1), "uint8"))
    wishes = {"region": {"x": [1, 20]}, "turn": 90}
    assert zblocks("convert", write_config(**wishes)).code == 0
    made = (tmp_path / "out/.zblocks/report.json").stat().st_mtime_ns
    again = zblocks("convert", write_config(**wishes))
    assert again.code == 0
    assert (tmp_path / "out/.zblocks/report.json").stat().st_mtime_ns >= made
    other = zblocks("convert", write_config(**{**wishes, "turn": 270}))
    assert other.code == 2
    assert "different volume (region 1-20_0-20_0-7 (every 1, turn 90, flip none), now" in other.err


def test_all_of_the_stack_is_no_region(tmp_path, write_config):
    """The same volume with and without: its fingerprint doesn't change."""
    write_stack(tmp_path / "in", textured((7, 20, 30, 1), "uint8"))
    assert zblocks("convert", write_config()).code == 0
    whole = {"region": {"x": [0, 30], "y": [0, 20], "z": [0, 7]}, "turn": 0}
    assert zblocks("convert", write_config(**whole)).code == 0


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"region": {"x": [3, 31]}}, "region: x [3, 31] reaches beyond a slice, or the canvas, of"),
        ({"region": {"z": [0, 8]}}, "region: z [0, 8] reaches beyond the stack of 7 slices"),
        ({"region": {"y": [5, 5]}}, "which has 5 where a number above 5 is needed"),
        ({"region": {"z": [-1, 5]}}, 'region: found {"z": [-1, 5]}'),
        ({"region": {"t": [1, 5]}}, 'region: found {"t": [1, 5]}'),
        ({"every": 0}, "every: found 0; give n to take every n-th slice"),
        ({"turn": 45}, "turn: found 45; give 0, 90, 180 or 270"),
        ({"flip": "z"}, 'flip: found "z"; give "x" to swap left and right'),
        ({"region": {"z": [2, 3]}}, "region: no slice is there from z 2 to 2"),
    ],
)
def test_refusals(tmp_path, write_config, wishes, message):
    write_stack(tmp_path / "in", textured((7, 20, 30, 1), "uint8"))
    (tmp_path / "in" / "s_002.png").unlink()
    done = zblocks("convert", write_config(**wishes))
    assert done.code == 2
    assert message in done.err
    assert not (tmp_path / "out").exists()
