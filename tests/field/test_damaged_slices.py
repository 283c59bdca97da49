"""One damaged slice of a stack: it costs the run, or with `"damaged": "missing"` that slice."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.flow.conftest import zblocks
from tests.flow.inprocess import do_all, end, start
from tests.references import read_info, read_tensorstore
from zblocks.config import Config
from zblocks.errors import SliceError, StorageError
from zblocks.planning.percentiles import evenly
from zblocks.run import lock
from zblocks.run.attempt import attempt_block
from zblocks.run.finalize import declare_damaged, finalize
from zblocks.run.job import open_job, read_tasks
from zblocks.run.start import Run
from zblocks.storage import Store

FIELDS = {"compression": "none", "voxel_resolution": [1000] * 3}
SKIP = {"damaged": "missing", **FIELDS}


def noise(z: int, size: tuple[int, int] = (40, 50)) -> np.ndarray:
    return np.random.default_rng(z).integers(1, 200, size).astype(np.uint8)


Write = Callable[[np.ndarray], bytes]


def pillow(kind: str, **how: Any) -> Write:
    def write(plane: np.ndarray) -> bytes:
        file = io.BytesIO()
        Image.fromarray(plane).save(file, kind, **how)
        return file.getvalue()

    return write


def tiff(**how: Any) -> Write:
    def write(plane: np.ndarray) -> bytes:
        file = io.BytesIO()
        tifffile.imwrite(file, plane, metadata=None, **how)
        return file.getvalue()

    return write


def cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


def holed(data: bytes) -> bytes:
    """Zeros in the middle, as where a disk or a transfer lost a piece."""
    middle = len(data) // 2
    return data[:middle] + bytes(60) + data[middle + 60 :]


def replaced(by: bytes) -> Callable[[bytes], bytes]:
    return lambda _: by


KINDS = {
    "JPEG cut off": (".jpg", pillow("JPEG"), cut),
    "JPEG without its last bytes": (".jpg", pillow("JPEG", quality=95), lambda d: d[:-40]),
    "JPEG without pixels": (".jpg", pillow("JPEG"), lambda d: d[: d.index(b"\xff\xda") + 12]),
    "progressive JPEG cut off": (".jpg", pillow("JPEG", progressive=True), cut),
    "PNG cut off": (".png", pillow("PNG"), cut),
    "PNG with a hole": (".png", pillow("PNG"), holed),
    "PNG of a header alone": (".png", pillow("PNG"), lambda d: d[:33]),
    "deflate with a hole": (".tif", tiff(compression="zlib", predictor=2), holed),
    "zstd with a hole": (".tif", tiff(compression="zstd"), holed),
    "LZW cut off": (".tif", tiff(compression="lzw"), cut),
    "tiles cut off": (".tif", tiff(compression="zlib", tile=(16, 16)), cut),
    "plain strips cut off": (".tif", tiff(rowsperstrip=8), cut),
    "a header whose pixels are short": (".tif", tiff(), lambda d: d[:-7]),
    "TIFF of four bytes": (".tif", tiff(), lambda d: d[:4]),
    "JPEG 2000 cut off": (".jp2", pillow("JPEG2000"), cut),
    "bare JPEG 2000 cut off": (".j2k", imagecodecs.jpeg2k_encode, cut),
    "BMP cut off": (".bmp", pillow("BMP"), cut),
    "WebP cut off": (".webp", pillow("WEBP", lossless=True), cut),
    "an empty file": (".tif", tiff(), replaced(b"")),
    "HTML": (".tif", tiff(), replaced(b"<!DOCTYPE html><title>504 Gateway Time-out</title>")),
    "an error of S3": (".jpg", pillow("JPEG"), replaced(b"<?xml version='1.0'?><Error/>")),
    "zeros": (".png", pillow("PNG"), lambda d: bytes(len(d))),
    "a pointer of Git LFS": (".tif", tiff(), replaced(b"version https://git-lfs.github.com/")),
}
"""Ending, writer, and what becomes of the file."""

BAD = (".png", pillow("PNG"), cut)
"""Seen when it is decoded, not in its header."""


def write_stack(
    folder: Path,
    count: int,
    bad: Collection[int] = (),
    kind: tuple[str, Write, Callable[[bytes], bytes]] = BAD,
    gone: Collection[int] = (),
) -> list[str]:
    """Write slices, some of them bad and some not at all; return a list that names all."""
    ext, write, spoil = kind
    folder.mkdir(parents=True, exist_ok=True)
    for z in set(range(count)) - set(gone):
        data = write(noise(z))
        (folder / f"s_{z:03d}{ext}").write_bytes(spoil(data) if z in bad else data)
    return [f"s_{z:03d}{ext} {z}" for z in range(count)]


def held(data: bytes, ext: str) -> np.ndarray:
    """Return what a sound file holds, by another reader."""
    if ext == ".tif":
        return tifffile.imread(io.BytesIO(data))
    if ext == ".j2k":
        return imagecodecs.jpeg2k_decode(data)
    return np.asarray(Image.open(io.BytesIO(data)))


def voxels_of(folder: Path, scale: int = 0) -> np.ndarray:
    store = {"driver": "file", "path": f"{folder}/"}
    found = read_tensorstore(store, read_info(folder))[scale]
    return found[..., 0] if found.shape[3] == 1 else found


def document(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


def objects(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all chunks, and of `info`."""
    paths = [p for p in folder.rglob("*") if p.is_file() and ".zblocks" not in p.parts]
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths if p.name != "provenance"}


def times(folder: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mtime_ns for p in folder.glob("*_*_*/*")}


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_slice_costs_that_slice(tmp_path, write_config, kind):
    write_stack(tmp_path / "in", 8, {3}, KINDS[kind])
    ending = end(Config.load(write_config(fill_value=7, ext=KINDS[kind][0], **SKIP)))
    assert ending.status == "PARTIAL"
    (line,) = ending.filled
    assert line.startswith("z 3: s_003.")
    expected = np.stack([held(KINDS[kind][1](noise(z)), KINDS[kind][0]) for z in range(8)])
    expected[3] = 7
    np.testing.assert_array_equal(voxels_of(tmp_path / "out"), expected)
    for name in (".zblocks/report.json", "provenance"):
        (filled,) = document(tmp_path / "out", name)["filled_slices"]
        assert (filled["z"], filled["how"]) == (3, "fill 7")
        assert filled["name"].startswith("s_003.")
        assert any(word in filled["why"] for word in ("damaged", "not a JPEG", "more than its"))
    assert document(tmp_path / "out", ".zblocks/report.json")["status"] == "PARTIAL"
    assert "can’t be decoded" in (tmp_path / "out/.zblocks/report.html").read_text()


@pytest.mark.parametrize("kind", ["JPEG cut off", "deflate with a hole", "HTML", "an empty file"])
def test_by_default_it_is_an_error_that_names_the_way_out(tmp_path, write_config, kind):
    write_stack(tmp_path / "in", 8, {3}, KINDS[kind])
    done = zblocks("convert", write_config(ext=KINDS[kind][0], **FIELDS))
    assert done.code in (1, 2)
    assert "s_003" in done.err
    assert '"damaged": "missing"' in done.err
    assert not (tmp_path / "out/info").exists()


def test_partial_volumes_lose_the_slice_and_not_its_block(tmp_path, write_config):
    write_stack(tmp_path / "in", 8, {3})
    assert zblocks("convert", write_config(allow_partial=True, **FIELDS)).code == 0
    lost = voxels_of(tmp_path / "out").max(axis=(1, 2)) == 0
    assert np.flatnonzero(lost).tolist() == [3]


def test_unless_the_config_says_that_damage_is_an_error(tmp_path, write_config):
    write_stack(tmp_path / "in", 70, {66})
    done = zblocks("convert", write_config(allow_partial=True, damaged="error", **FIELDS))
    assert done.code == 0
    assert "left out: block-00001" in done.out


def test_the_command_names_it_and_says_how_to_mend_the_volume(tmp_path, write_config):
    write_stack(tmp_path / "in", 8, {3})
    done = zblocks("convert", write_config(**SKIP))
    assert done.code == 0, done.err
    assert "filled z 3: s_003.png (damaged PNG (" in done.out
    assert f"PARTIAL: file://{tmp_path}/out" in done.out
    assert '"overwrite": true' in done.out
    assert "s_003.png: damaged PNG (" in done.err


@pytest.mark.parametrize("bad", [{0}, {7}, {0, 7}, {2, 3, 4}])
def test_at_the_ends_and_next_to_each_other(tmp_path, write_config, bad):
    write_stack(tmp_path / "in", 8, bad)
    assert end(Config.load(write_config(**SKIP))).status == "PARTIAL"
    lost = voxels_of(tmp_path / "out").max(axis=(1, 2)) == 0
    assert set(np.flatnonzero(lost).tolist()) == bad


@pytest.mark.parametrize(("kind", "code"), [(BAD, 1), (KINDS["HTML"], 2)])
def test_a_stack_without_a_sound_slice_is_refused(tmp_path, write_config, kind, code):
    write_stack(tmp_path / "in", 5, range(5), kind)
    done = zblocks("convert", write_config(**SKIP))
    assert done.code == code
    assert f"s_004{kind[0]}" in done.err
    assert not (tmp_path / "out/info").exists()


POLICIES = [
    {"missing": "fill", "missing_in_means": False},
    {"missing": "nearest"},
    {"missing": "hole"},
    {"missing": "hole", "sharding": True},
    {"missing": "interpolate", "reverse_z": True, "voxel_offset": [3, 5, 7]},
]


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_the_volume_is_that_of_a_stack_that_lacks_these_slices(tmp_path, write_config, policy):
    """At the border of two blocks, a whole block, next to slices that are missing anyway."""
    bad = {0, 61, 63, 64, 66, *range(128, 192), 209}
    fields = {**SKIP, **policy, "chunk_size": [64, 64, 16]}
    lines = write_stack(tmp_path / "in", 210, bad, gone={62, 65})
    config = write_config(sorted_filename=lines, **fields)
    assert end(Config.load(config)).status == "PARTIAL"
    sound = zblocks("verify", tmp_path / "out", "--source", config)
    assert sound.code == 0, sound.out
    assert ".png is missing: damaged PNG" in sound.out
    write_stack(tmp_path / "less", 210, gone={62, 65, *bad})
    less = write_config(
        sorted_filename=lines, source=f"file://{tmp_path}/less",
        destination=f"file://{tmp_path}/twin", **fields,
    )  # fmt: skip
    assert end(Config.load(less)).status == "COMPLETE"
    assert objects(tmp_path / "out") == objects(tmp_path / "twin")


def test_no_half_slice_is_left_where_damage_shows_after_rows_were_written(tmp_path, write_config):
    """In strips: the slices are too large to be held whole."""
    (tmp_path / "in").mkdir()
    voxels = [noise(z % 3, (1500, 1200)) for z in range(10)]
    for z, plane in enumerate(voxels):
        data = pillow("PNG", compress_level=1)(plane)
        (tmp_path / f"in/s_{z:03d}.png").write_bytes(cut(data) if z == 6 else data)
    fields = {**SKIP, "missing": "nearest", "chunk_size": [128, 128, 16]}
    done = zblocks("convert", write_config(**fields), "--workers", 1, "--memory", 146)
    assert done.code == 0, done.err
    assert document(tmp_path / "out", ".zblocks/plan.json")["rows"] < 1500
    voxels[6] = voxels[5]
    np.testing.assert_array_equal(voxels_of(tmp_path / "out"), voxels)


def test_percentiles_are_measured_without_it(tmp_path, write_config):
    fields = {**SKIP, "contrast": {"percentiles": [0, 100]}, "dtype": "uint8"}
    (tmp_path / "in").mkdir()
    for z in range(8):
        plane = noise(z).astype(np.uint16)
        plane[0, :2] = (0, 1000 if z != 3 else 60_000)
        data = pillow("PNG")(plane)
        (tmp_path / f"in/s_{z:03d}.png").write_bytes(cut(data) if z == 3 else data)
    end(Config.load(write_config(**fields)))
    found = document(tmp_path / "out", "provenance")["contrast"]
    assert (found["low"], found["high"], found["measured"]) == (0, 1000, 7)


# Mending


def test_a_finished_volume_is_mended_by_the_blocks_that_read_the_slice(tmp_path, write_config):
    write_stack(tmp_path / "in", 200, {70})
    fields = {**SKIP, "missing": "nearest"}
    end(Config.load(write_config(**fields)))
    before = times(tmp_path / "out")
    write_stack(tmp_path / "new", 200)
    (tmp_path / "in/s_070.png").write_bytes((tmp_path / "new/s_070.png").read_bytes())
    stale = zblocks("verify", tmp_path / "out", "--source", write_config(**fields))
    assert stale.code == 1
    assert '"overwrite": true' in stale.out
    refused = zblocks("convert", write_config(**fields))
    assert refused.code == 2
    assert "s_070.png (z 70)" in refused.err
    assert '"overwrite": true' in refused.err
    assert (tmp_path / "out/info").exists()
    planned = zblocks("plan", write_config(overwrite=True, **fields), "--json")
    assert planned.json["due"] == 1
    done = zblocks("convert", write_config(overwrite=True, **fields))
    assert done.code == 0, done.err
    assert "COMPLETE" in done.out
    after = times(tmp_path / "out")
    redone = {k for k in after if after[k] != before.get(k)}
    finest = {k for k in redone if "/1000_1000_1000/" in k}
    assert finest == {k for k in after if "/1000_1000_1000/" in k and k.endswith("_64-128")}
    fresh = write_config(destination=f"file://{tmp_path}/fresh", **fields)
    end(Config.load(fresh))
    assert objects(tmp_path / "out") == objects(tmp_path / "fresh")
    assert document(tmp_path / "out", "provenance")["filled_slices"] == []


@pytest.mark.parametrize("missing", ["fill", "nearest", "hole"])
def test_a_slice_that_arrives_later_is_taken_in(tmp_path, write_config, missing):
    """Nearest: in the block before, a missing slice is read from it."""
    lines = write_stack(tmp_path / "in", 200, gone={61, 62, 63, 64, 140})
    fields = {"sorted_filename": lines, "missing": missing, **FIELDS}
    end(Config.load(write_config(**fields)))
    write_stack(tmp_path / "all", 200)
    for z in (64, 140):
        name = f"s_{z:03d}.png"
        (tmp_path / "in" / name).write_bytes((tmp_path / "all" / name).read_bytes())
    planned = zblocks("plan", write_config(overwrite=True, **fields), "--json")
    assert planned.json["due"] == (3 if missing == "nearest" else 2)
    end(Config.load(write_config(overwrite=True, **fields)))
    fresh = write_config(destination=f"file://{tmp_path}/fresh", **fields)
    end(Config.load(fresh))
    assert objects(tmp_path / "out") == objects(tmp_path / "fresh")


def test_a_slice_that_was_never_an_image_is_mended_too(tmp_path, write_config):
    write_stack(tmp_path / "in", 140, {70}, KINDS["HTML"])
    end(Config.load(write_config(**SKIP)))
    (tmp_path / "in/s_070.tif").write_bytes(tiff()(noise(70)))
    planned = zblocks("plan", write_config(overwrite=True, **SKIP), "--json")
    assert planned.json["due"] == 1
    end(Config.load(write_config(overwrite=True, **SKIP)))
    np.testing.assert_array_equal(voxels_of(tmp_path / "out"), [noise(z) for z in range(140)])


def test_a_replacement_that_is_damaged_again_leaves_the_volume(tmp_path, write_config):
    write_stack(tmp_path / "in", 140, {70})
    end(Config.load(write_config(**SKIP)))
    (tmp_path / "in/s_070.png").write_bytes(cut(pillow("PNG")(noise(71))))
    done = zblocks("convert", write_config(overwrite=True, **SKIP))
    assert (done.code, "PARTIAL" in done.out) == (0, True)
    lost = voxels_of(tmp_path / "out").max(axis=(1, 2)) == 0
    assert np.flatnonzero(lost).tolist() == [70]


def test_a_mended_slice_leaves_the_contrast_of_the_others(tmp_path, write_config):
    """Measured again, it would change all voxels; a stack that is new is measured again."""
    write_stack(tmp_path / "in", 40, {20})
    fields = {**SKIP, "contrast": {"percentiles": [1, 99]}}
    end(Config.load(write_config(**fields)))
    first = document(tmp_path / "out", "provenance")["contrast"]
    looked_at = evenly(40, 32)
    assert 20 in looked_at
    (tmp_path / "in/s_020.png").write_bytes(pillow("PNG")(np.full((40, 50), 255, np.uint8)))
    config = write_config(overwrite=True, **fields)
    done = zblocks("convert", config)
    assert (done.code, "COMPLETE" in done.out) == (0, True)
    assert document(tmp_path / "out", "provenance")["contrast"] == first
    assert zblocks("verify", tmp_path / "out", "--source", config).code == 0
    for z in range(40):
        (tmp_path / f"in/s_{z:03d}.png").write_bytes(pillow("PNG")(noise(z) // 2))
    end(Config.load(config))
    assert document(tmp_path / "out", "provenance")["contrast"]["high"] < first["high"] * 0.6


def test_the_same_config_again_finds_it_done(tmp_path, write_config):
    write_stack(tmp_path / "in", 80, {3, 70})
    config = write_config(missing="nearest", **SKIP)
    end(Config.load(config))
    before = times(tmp_path / "out")
    planned = zblocks("plan", config, "--json")
    assert (planned.json["due"], planned.json["refusals"]) == (0, [])
    assert any("s_070.png (damaged PNG" in line for line in planned.json["warnings"])
    again = zblocks("convert", config)
    assert (again.code, "PARTIAL" in again.out) == (0, True)
    assert times(tmp_path / "out") == before


def test_another_crop_is_measured_anew(tmp_path, write_config):
    (tmp_path / "in").mkdir()
    for z in range(12):
        plane = noise(z)
        plane[:20] //= 4
        (tmp_path / f"in/s_{z:03d}.png").write_bytes(pillow("PNG")(plane))
    fields = {**FIELDS, "contrast": {"percentiles": [0, 100]}, "overwrite": True}
    highs = []
    for y in ([0, 20], [20, 40]):
        end(Config.load(write_config(region={"y": y}, **fields)))
        highs.append(document(tmp_path / "out", "provenance")["contrast"]["high"])
    assert highs == [49, 199]


def test_an_unfinished_volume_goes_on_when_the_config_lets_it(tmp_path, write_config):
    """The way out that the error names, taken."""
    write_stack(tmp_path / "in", 140, {70})
    assert zblocks("convert", write_config(**FIELDS)).code == 1
    before = times(tmp_path / "out")
    end(Config.load(write_config(**SKIP)))
    after = times(tmp_path / "out")
    kept = [k for k in before if k.endswith(("_0-64", "_128-140"))]
    assert kept
    assert all(before[k] == after[k] for k in kept if "/1000_1000_1000/" in k)


@pytest.mark.parametrize("step", range(6))
def test_a_declaration_that_is_cut_short_is_completed(tmp_path, write_config, monkeypatch, step):
    """At any of its writes: what it left is enough for the next attempt."""
    write_stack(tmp_path / "in", 80, {10})
    job = open_job(start(Config.load(write_config(**SKIP))).plan.destination)
    for task in read_tasks(job.plan, job.target):
        with suppress(SliceError):
            attempt_block(job, task)
    left = iter([True] * step)

    def dies(real):
        def write(*arguments):
            if not next(left, False):
                raise KeyboardInterrupt
            real(*arguments)

        return write

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put_json", dies(Store.put_json))
        patch.setattr(Store, "delete", dies(Store.delete))
        with pytest.raises(KeyboardInterrupt):
            declare_damaged(job)
    job = open_job(job.target.url)
    assert [task.index for task in declare_damaged(job)] == [0]
    job = open_job(job.target.url)
    assert declare_damaged(job) == ()
    do_all(job, read_tasks(job.plan, job.target))
    assert finalize(job, Run()).status == "PARTIAL"
    lost = voxels_of(tmp_path / "out").max(axis=(1, 2)) == 0
    assert np.flatnonzero(lost).tolist() == [10]


def test_a_record_of_a_slice_that_was_replaced_since_counts_for_nothing(tmp_path, write_config):
    """As when a run is killed before its end, and the slice mended before the next."""
    write_stack(tmp_path / "in", 8, {3})
    config = write_config(overwrite=True, **SKIP)
    job = open_job(start(Config.load(config)).plan.destination)
    with pytest.raises(SliceError):
        attempt_block(job, *read_tasks(job.plan, job.target))
    lock.release(job.target, "")
    write_stack(tmp_path / "in", 8)
    done = zblocks("convert", config)
    assert (done.code, "COMPLETE" in done.out) == (0, True)
    np.testing.assert_array_equal(voxels_of(tmp_path / "out"), [noise(z) for z in range(8)])


# What isn't damage


class Unsteady(Store):
    """A store whose first answer for one key is spoilt, or that has none at all."""

    def __init__(self, store: Store, key: str, *, fails: bool) -> None:
        self.__dict__ |= store.__dict__
        self.key, self.fails = key, fails

    def get_range(self, key: str, start: int, length: int, etag: str = "") -> bytes:
        data = super().get_range(key, start, length, etag)
        if key != self.key:
            return data
        if self.fails:
            raise StorageError(f"{key}: 503 SlowDown")
        self.key = ""
        return data[:100] + bytes(len(data) - 100)


@pytest.mark.parametrize("fails", [True, False])
def test_a_store_that_fails_is_no_damage(tmp_path, write_config, fails):
    write_stack(tmp_path / "in", 8)
    prepared = start(Config.load(write_config(**SKIP)))
    job = open_job(prepared.plan.destination)
    unsteady = Unsteady(job.source, "s_003.png", fails=fails)
    job = dataclasses.replace(job, source=unsteady)
    with pytest.raises(StorageError, match=r"s_003\.png"):
        attempt_block(job, *prepared.pending)
    record = document(tmp_path / "out", ".zblocks/failures/block-00000.json")
    assert (record["error"], record["damaged"]) == ("StorageError", [])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tiff(extratags=[(274, 3, 1, 6, True)])(noise(3)), "orientation"),
        (tiff()(noise(3).astype(np.uint16)), "where the stack is"),
        (tiff()(noise(3, (40, 60))), "where the stack is"),
    ],
)
def test_a_sound_slice_that_does_not_fit_is_refused_as_ever(tmp_path, write_config, data, words):
    write_stack(tmp_path / "in", 8, kind=KINDS["HTML"])
    (tmp_path / "in/s_003.tif").write_bytes(data)
    done = zblocks("convert", write_config(**SKIP))
    assert done.code == 2
    assert "s_003.tif" in done.err
    assert words in done.err


def test_pages_of_damaged_files_are_not_counted(tmp_path, write_config):
    write_stack(tmp_path / "in", 8, {3}, KINDS["HTML"])
    done = zblocks("convert", write_config(page="all", **SKIP))
    assert done.code == 2
    assert "how many pages" in done.err
