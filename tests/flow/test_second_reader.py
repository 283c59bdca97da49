"""cloud-volume's look at a volume before it is published."""

from __future__ import annotations

import json
import zlib

import numpy as np
import pytest
import tifffile

from tests.flow.conftest import textured, write_stack, zblocks
from tests.flow.inprocess import do_all, start
from zblocks.config import Config
from zblocks.errors import IncompleteVolume
from zblocks.run import lock
from zblocks.run.cross_check import compare_samples
from zblocks.run.finalize import finalize
from zblocks.run.job import open_job
from zblocks.run.start import Run


@pytest.fixture
def volume(tmp_path, write_config):
    write_stack(tmp_path / "in", textured((9, 40, 50, 1), "uint8"))
    assert (
        zblocks("convert", write_config(chunk_size=[16, 16, 8], voxel_offset=[1, -2, 3])).code == 0
    )
    return open_job(f"file://{tmp_path}/out")


def test_it_sees_the_same_voxels(volume):
    assert compare_samples(volume, ()) > 6


@pytest.mark.filterwarnings("error")
def test_values_that_are_no_numbers_are_like_themselves(tmp_path, write_config):
    """NaN and the infinities: published, reported and found sound."""
    planes = textured((9, 40, 50, 1), "uint16").astype(np.float32)
    planes[2, 3, 4], planes[3, 5, 6], planes[4, 7, 8], planes[8] = np.nan, np.inf, -np.inf, np.nan
    (tmp_path / "in").mkdir()
    for z, plane in enumerate(planes):
        tifffile.imwrite(tmp_path / "in" / f"s_{z}.tif", plane[..., 0])
    config = write_config(chunk_size=[16, 16, 8])
    prepared = start(Config.load(config))
    job = open_job(f"file://{tmp_path}/out")
    do_all(job, prepared.pending)
    assert finalize(job, Run(), second_reader=compare_samples).page
    report = (tmp_path / "out/.zblocks/report.json").read_text()
    assert json.loads(report, parse_constant=pytest.fail)["status"] == "COMPLETE"
    done = zblocks("verify", tmp_path / "out", "--source", config)
    assert done.code == 0, done.out


def test_a_chunk_that_it_cannot_read_stops_the_publication(tmp_path, volume):
    (tmp_path / "out" / "info").unlink()
    chunk = tmp_path / "out" / "4_4_40" / "1-17_-2-14_3-11.gz"
    size = chunk.stat().st_size
    chunk.write_bytes(b"\0" * size)
    # Receipted as it lies, so that the listing has nothing to say.
    receipt = tmp_path / "out" / ".zblocks" / "receipts" / "block-00000.json"
    document = json.loads(receipt.read_text())
    for row in document["objects"]:
        if row[0] == "4_4_40/1-17_-2-14_3-11":
            row[2] = zlib.crc32(b"\0" * size)
    receipt.write_text(json.dumps(document))
    lock.acquire(volume.target, "")
    with pytest.raises(IncompleteVolume, match="4_4_40: cloud-volume can't read it"):
        finalize(volume, Run(), second_reader=compare_samples)
    assert not (tmp_path / "out" / "info").exists()
