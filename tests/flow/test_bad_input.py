"""Each bad input gets one clear error before any block runs, and nothing is written."""

from __future__ import annotations

import numpy as np
import pytest

from tests.flow.conftest import textured, write_slice, write_stack, zblocks


def refused(tmp_path, config, *words):
    """Assert that the run is refused as bad input with these words, leaving no trace."""
    done = zblocks("convert", config)
    assert done.code == 2, done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    for word in words:
        assert word in done.err
    assert not (tmp_path / "out").exists()


@pytest.fixture
def stack(tmp_path):
    return write_stack(tmp_path / "in", textured((5, 20, 30, 1), "uint8"))


def test_an_unknown_field(tmp_path, stack, write_config):
    refused(
        tmp_path, write_config(voxel_resolutoin=[1, 1, 1]), "voxel_resolutoin", "voxel_resolution"
    )


def test_a_missing_bucket_field(tmp_path, write_config):
    refused(tmp_path, write_config(source=None), "s3_bucket_name_for_download", "missing")


def test_a_bucket_that_does_not_exist(tmp_path, write_config, cloud):
    config = write_config(source="s3://nowhere-at-all/x")
    refused(tmp_path, config, "s3://nowhere-at-all/x", "no such bucket")


def test_a_destination_bucket_that_does_not_exist(tmp_path, stack, write_config, cloud):
    done = zblocks("convert", write_config(destination="s3://nowhere-at-all/x"))
    assert done.code == 2
    assert "s3://nowhere-at-all/x" in done.err
    assert "no such bucket" in done.err


def test_no_slices(tmp_path, write_config):
    refused(tmp_path, write_config(), "SliceListError", f"{tmp_path}/in: no such folder")


def test_no_slices_under_the_prefix(tmp_path, stack, write_config):
    refused(tmp_path, write_config(s3_prefix="t_"), "no slices found", "t_*")


def test_a_list_that_does_not_exist(tmp_path, stack, write_config):
    refused(tmp_path, write_config(sorted_filename="names.txt"), "names.txt", "no file at")


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ((21, 30, 1, "uint8"), "30×21 grey uint8 where the stack is 30×20 grey uint8"),
        ((20, 30, 3, "uint8"), "30×20 RGB uint8 where the stack is 30×20 grey uint8"),
        ((20, 30, 1, "uint16"), "30×20 grey uint16 where the stack is 30×20 grey uint8"),
    ],
)
def test_odd_slices_are_listed(tmp_path, stack, write_config, odd, words):
    *shape, dtype = odd
    write_slice(tmp_path / "in" / "s_003.png", np.ones(shape, dtype))
    refused(tmp_path, write_config(), f"s_003.png: {words}")


def test_a_slice_that_is_no_image(tmp_path, stack, write_config):
    (tmp_path / "in" / "s_001.png").write_text("<html>404</html>")
    (tmp_path / "in" / "s_004.png").write_bytes(b"")
    refused(tmp_path, write_config(), "s_001.png: not a JPEG, PNG, TIFF", "s_004.png", "is empty")


def test_a_listed_slice_that_is_missing(tmp_path, stack, write_config):
    lines = ["s_000 0", "s_001 1", "s_009 2"]
    config = write_config(sorted_filename=lines, ext=".png", missing="error")
    refused(tmp_path, config, "s_009")


def test_gaps_and_doubles_in_the_list(tmp_path, stack, write_config):
    config = write_config(sorted_filename=["s_000 0", "s_001 4"], ext=".png", missing="error")
    refused(tmp_path, config, "index 1")
    config = write_config(sorted_filename=["s_000 0", "s_001 0", "s_001 3"], ext=".png")
    refused(tmp_path, config, "s_000", "s_001")


def test_two_files_for_one_name(tmp_path, stack, write_config):
    write_slice(tmp_path / "in" / "0000_s_000_.png", np.ones((20, 30, 1), "uint8"))
    config = write_config(sorted_filename=["s_000 0"], ext=".png")
    refused(tmp_path, config, "s_000.png", "0000_s_000_.png")


def test_pages_orientation_and_signs_are_named(tmp_path, write_config):
    import tifffile
    from PIL import Image

    (tmp_path / "in").mkdir()
    tifffile.imwrite(
        tmp_path / "in" / "a2.tif", np.zeros((3, 4, 4), "uint8"), photometric="minisblack"
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("L", (4, 4)).save(tmp_path / "in" / "a3.jpg", exif=exif)
    tifffile.imwrite(tmp_path / "in" / "a4.tif", np.zeros((4, 4), "int64"))
    refused(
        tmp_path,
        write_config(),
        "a2.tif: this TIFF has 3 pages",
        "a3.jpg: this JPEG has an orientation tag (6)",
        "a4.tif: this TIFF has",
    )


def test_jpeg_of_16_bits(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((3, 20, 30, 1), "uint16"))
    refused(tmp_path, write_config(encoding="jpeg"), "encoding", "8 bits")


def test_a_fill_value_beyond_the_type(tmp_path, stack, write_config):
    refused(tmp_path, write_config(fill_value=256), "fill_value: 256", "0 to 255")


def test_a_worker_that_is_too_small(tmp_path, stack, write_config):
    done = zblocks("convert", write_config(), "--memory", "60")
    assert done.code == 2
    assert "DoesNotFit" in done.err
    assert "need a worker with at least" in done.err


def test_a_different_volume_is_left_untouched(tmp_path, stack, write_config):
    assert zblocks("convert", write_config()).code == 0
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    done = zblocks("convert", write_config(voxel_resolution=[8, 8, 8]))
    assert done.code == 2
    assert "already holds a different volume (resolution [4, 4, 40], now [" in done.err
    assert before == {p: p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file()}


def test_foreign_objects_are_left_untouched(tmp_path, stack, write_config):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.docx").write_text("mine")
    done = zblocks("convert", write_config())
    assert done.code == 2
    assert "thesis.docx, which zblocks did not write" in done.err
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["thesis.docx"]
