"""`zblocks init`: what it writes converts as it is, once the size of a voxel is there."""

from __future__ import annotations

import json
import os
from urllib.parse import unquote

import numpy as np
import pytest
import tensorstore
import tifffile
from PIL import Image

from tests.flow.conftest import textured, write_slice, write_stack, zblocks

SIZE = ("--resolution", "4", "4", "40")


def begun(location, *more, code=0):
    """Return the config that is begun for a place."""
    done = zblocks("init", location, *more)
    assert done.code == code, done.err
    return done.json if code == 0 else done.err


def converted(config, tmp_path):
    """Convert with a config as it is; return scale 0 (z, y, x, c)."""
    path = tmp_path / "zblocks.json"
    path.write_text(json.dumps(config))
    done = zblocks("convert", path, "--workers", "1", "--json")
    assert done.code == 0, done.err
    place = done.json["location"].rstrip("/")
    return read(place, path)


def read(place, path):
    if place.startswith("file://"):
        from cloudvolume import CloudVolume

        return np.asarray(CloudVolume(unquote(place), progress=False)[:]).transpose(2, 1, 0, 3)
    bucket, _, key = place.removeprefix("s3://").partition("/")
    store = {
        "driver": "s3", "bucket": bucket, "path": f"{key}/",
        "endpoint": os.environ["AWS_ENDPOINT_URL"], "aws_region": "us-east-1",
    }  # fmt: skip
    spec = {"driver": "neuroglancer_precomputed", "kvstore": store}
    return tensorstore.open(spec, open=True).result().read().result().transpose(2, 1, 0, 3)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "brain 7"


def test_a_folder_becomes_a_config_that_converts(tmp_path, folder):
    held = write_stack(folder, textured((12, 40, 50, 1), "uint8"), ".tif")
    (folder / "s_004.tif").unlink()
    held[4] = 0
    target = tmp_path / "first.json"
    done = zblocks("init", folder, "--output", target)
    assert (done.code, done.out) == (0, "")
    assert f"zblocks plan {target}" in done.err
    assert f"zblocks schema > {tmp_path}/zblocks.schema.json" in done.err
    config = json.loads(target.read_text())
    assert (config["s3_prefix"], config["ext"]) == ("s_", ".tif")
    assert "1 missing, which keep their z and will be filled: number 4" in config["// z"]
    assert "11 headers read: 50×40 grey uint8 (11)" in config["// slices"]
    missing = zblocks("plan", target)
    assert missing.code == 2
    assert "voxel_resolution: missing; give the size of a voxel along x, y and z" in missing.err
    again = zblocks("init", folder, "--output", target)
    assert again.code == 2
    assert "exists already" in again.err
    config["voxel_resolution"] = [4, 4, 40]
    np.testing.assert_array_equal(converted(config, tmp_path), held)


@pytest.mark.parametrize("end", ["", "/", "/s_", "/s_0"])
def test_a_bucket_with_a_slash_without_and_within_a_name(tmp_path, folder, cloud, end):
    held = write_stack(folder, textured((12, 40, 50, 1), "uint8"), ".tif")
    cloud.upload(folder, "slices", "lab/brain/")
    cloud.s3.put_object(Bucket="slices", Key="lab/brain_old.tif", Body=b"another")
    config = begun(f"s3://slices/lab/brain{end}", *SIZE)
    assert config["s3_prefix"] == "lab/brain/s_"
    config["s3_bucket_name_for_upload"] = "volumes"
    np.testing.assert_array_equal(converted(config, tmp_path), held)


def test_a_bucket_converts_as_it_is_written(tmp_path, folder, cloud):
    held = write_stack(folder, textured((3, 40, 50, 3), "uint8"), ".png")
    cloud.upload(folder, "slices", "")
    np.testing.assert_array_equal(converted(begun("s3://slices", *SIZE), tmp_path), held)


def test_only_what_is_named_alike_is_taken(tmp_path, folder):
    """An overview, thumbnails and other kinds of files beside the slices."""
    held = write_stack(folder, textured((12, 40, 50, 1), "uint8"), ".tif")
    for z in range(12):
        write_slice(folder / f"s_{z:03d}_thumb.tif", np.zeros((8, 8, 1), np.uint8))
    write_slice(folder / "overview.tif", np.zeros((8, 8, 1), np.uint8))
    write_slice(folder / "logo.png", np.zeros((8, 8, 1), np.uint8))
    (folder / "notes.txt").write_text("Cut on Monday.\n")
    config = begun(folder, *SIZE)
    assert config["filter"] == {"regex": r"s_[0-9]+(\.tif)"}
    assert config["// others"].startswith("14 other images are not used: logo.png, overview.tif")
    assert "sorted_filename" not in config
    np.testing.assert_array_equal(converted(config, tmp_path), held)


def test_spellings_of_an_ending(tmp_path, folder):
    held = write_stack(folder, textured((6, 40, 50, 1), "uint8"), ".tif")
    (folder / "s_002.tif").rename(folder / "s_002.TIF")
    (folder / "s_003.tif").rename(folder / "s_003.tiff")
    config = begun(folder, *SIZE)
    assert "ext" not in config
    np.testing.assert_array_equal(converted(config, tmp_path), held)
    write_slice(folder / "s_1.png", np.zeros((8, 8, 1), np.uint8))
    config = begun(folder, *SIZE)
    assert "s_1.png" in config["// others"]
    np.testing.assert_array_equal(converted(config, tmp_path), held)


@pytest.mark.parametrize("naming", ["s_{:03d}.tif {}", "s_{:03d} {}", "{:03d} {}"])
def test_a_list_beside_the_slices_gives_the_order(tmp_path, folder, naming):
    held = write_stack(folder, textured((6, 40, 50, 1), "uint8"), ".tif")
    lines = [naming.format(5 - z, z) for z in range(6)]
    (folder / "order.txt").write_text("\n".join(lines) + "\n")
    config = begun(folder, *SIZE)
    assert config["sorted_filename"] == f"{folder}/order.txt"
    assert config["// sorted_filename"].startswith("this list names 6 slices")
    np.testing.assert_array_equal(converted(config, tmp_path), held[::-1])


def test_a_list_in_a_bucket(tmp_path, folder, cloud):
    held = write_stack(folder, textured((4, 40, 50, 1), "uint8"), ".tif")
    (folder / "names.csv").write_text(
        "name,index\ns_002.tif,0\ns_000.tif,1\nlost.tif,2\ns_003.tif,3\n"
    )
    cloud.upload(folder, "slices", "b/")
    config = begun("s3://slices/b", *SIZE)
    assert config["sorted_filename"] == "s3://slices/b/names.csv"
    assert "1 more of its names have no file" in config["// sorted_filename"]
    wanted = np.stack([held[2], held[0], np.zeros_like(held[0]), held[3]])
    np.testing.assert_array_equal(converted(config, tmp_path), wanted)


def test_sizes_that_differ_get_a_canvas(tmp_path, folder):
    write_stack(folder, textured((3, 40, 50, 1), "uint8"), ".png")
    write_slice(folder / "s_003.png", textured((1, 30, 60, 1), "uint8")[0])
    config = begun(folder, *SIZE)
    assert config["canvas"]["size"] == "max"
    assert converted(config, tmp_path).shape == (4, 40, 60, 1)


@pytest.mark.parametrize("count", [1, 2])
def test_pages_become_slices(tmp_path, folder, count):
    held = textured((3 * count, 40, 50, 1), "uint16")
    folder.mkdir()
    for n in range(count):
        pages = held[3 * n : 3 * n + 3, ..., 0]
        tifffile.imwrite(folder / f"part{n}.tif", pages, photometric="minisblack")
    config = begun(folder, *SIZE)
    assert config["page"] == "all"
    np.testing.assert_array_equal(converted(config, tmp_path), held)


def test_one_file_may_be_named(tmp_path, folder):
    write_stack(folder, textured((3, 40, 50, 1), "uint8"), ".png")
    assert converted(begun(folder / "s_001.png", *SIZE), tmp_path).shape == (1, 40, 50, 1)


def test_names_may_be_narrowed(tmp_path, folder):
    held = write_stack(folder, textured((12, 40, 50, 1), "uint8"), ".png")
    config = begun(folder / "s_00", *SIZE)
    assert "10 slices from s_000.png to s_009.png" in config["// z"]
    np.testing.assert_array_equal(converted(config, tmp_path), held[:10])


def ome(path, plane):
    sizes = {"PhysicalSizeX": 0.65, "PhysicalSizeY": 0.65, "PhysicalSizeZ": 5}
    units = {f"{name}Unit": "µm" for name in sizes}
    tifffile.imwrite(path, plane, ome=True, metadata={"axes": "YX", **sizes, **units})


def imagej(path, plane):
    meta = {"unit": "um", "spacing": 5}
    tifffile.imwrite(path, plane, imagej=True, resolution=(1 / 0.65, 1 / 0.65), metadata=meta)


def baseline(path, plane):
    tifffile.imwrite(path, plane, resolution=(1e4 / 0.65, 1e4 / 0.65), resolutionunit="CENTIMETER")


def big(path, plane):
    dots = 25400 / 0.65
    tifffile.imwrite(path, plane, resolution=(dots, dots), resolutionunit="INCH", bigtiff=True)


def printed(path, plane):
    tifffile.imwrite(path, plane, resolution=(300, 300), resolutionunit="INCH")


@pytest.mark.parametrize(
    ("write", "said"),
    [(ome, "650×650×5000 nm (OME)"), (imagej, "650×650×5000 nm (ImageJ)"),
     (baseline, "650×650 nm (resolution tags)"), (big, "650×650 nm (resolution tags)"),
     (printed, "")],
)  # fmt: skip
def test_what_a_tiff_says_of_its_scale_is_offered(folder, write, said):
    folder.mkdir()
    write(folder / "a_1.tif", textured((1, 40, 50, 1), "uint8")[0, ..., 0])
    config = begun(folder)
    assert config["voxel_resolution"] is None
    words = config["// voxel_resolution"]
    assert words.startswith(f"a_1.tif says {said}; fill in" if said else "fill in")


def test_a_damaged_file_is_named(tmp_path, folder):
    write_stack(folder, textured((3, 40, 50, 1), "uint8"), ".png")
    (folder / "s_001.png").write_bytes(b"nothing")
    assert "s_001.png: not a JPEG, PNG" in begun(folder)["// unreadable"]
    for path in folder.iterdir():
        path.write_bytes(b"nothing")
    assert "not a JPEG, PNG" in begun(folder, code=2)


def test_a_place_without_images(tmp_path, cloud):
    (tmp_path / "a/b").mkdir(parents=True)
    Image.new("L", (4, 4)).save(tmp_path / "a/b/x.png")
    assert f"in folders below it: file://{tmp_path}/a/b (1); give one of these" in begun(
        tmp_path / "a", code=2
    )
    assert "no such folder; check the path" in begun(tmp_path / "c/d", code=2)
    assert "no images here or below" in begun("s3://slices/x", code=2)
    assert "no such bucket" in begun("s3://slides/x", code=2)


def test_the_schema_is_printed(folder):
    """An editor marks nothing but the resolution in what init writes."""
    import jsonschema

    check = jsonschema.Draft202012Validator(zblocks("schema").json)
    write_stack(folder, textured((3, 40, 50, 1), "uint8"), ".png")
    config = begun(folder)
    assert [list(e.path) for e in check.iter_errors(config)] == [["voxel_resolution"]]
    assert list(check.iter_errors(begun(folder, *SIZE))) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete(shell):
    source = zblocks(env={"_ZBLOCKS_COMPLETE": f"source_{shell}"})
    assert source.code == 0, source.err
    assert "_ZBLOCKS_COMPLETE" in source.out
    words = {
        "bash": {"COMP_WORDS": "zblocks pl", "COMP_CWORD": "1"},
        "zsh": {"_TYPER_COMPLETE_ARGS": "zblocks pl"},
        "fish": {"_TYPER_COMPLETE_ARGS": "zblocks pl", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    offered = zblocks(env={"_ZBLOCKS_COMPLETE": f"complete_{shell}", **words})
    assert "plan" in offered.out
    assert "convert" not in offered.out
