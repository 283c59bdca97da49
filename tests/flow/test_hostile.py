"""Each hostile input ends in one clear error, in bounded memory and time, and publishes nothing.

Damage that no decoder can tell is listed in tests/fuzz/test_decoders.py: above all a flip in the
entropy-coded data of a JPEG, which has no checksum.
"""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
import tensorstore as ts
from PIL import Image

from handlers.plan import read_input
from tests.flow.conftest import zblocks
from tests.hostile import CASES, KEY_ID, MIB, SECRET, judge, plane, png, run
from zblocks.errors import InvalidConfig, hide_keys


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.name)
def test_hostile_input(one, tmp_path):
    ended = run(one, tmp_path)
    assert judge(one, ended, tmp_path) == [], ended.text[:2000]
    if not one.error:
        assert_exact(tmp_path, one.name)


def assert_exact(folder, name):
    """Assert that the volume holds what the slices were made of."""
    spec = {"driver": "neuroglancer_precomputed", "kvstore": f"file://{folder}/flat/"}
    (folder / "flat").mkdir()
    for path in (folder / "out").rglob("*"):  # tensorstore wants chunks without a suffix
        if path.is_file() and ".zblocks" not in path.parts:
            to = folder / "flat" / path.relative_to(folder / "out").with_suffix("")
            to.parent.mkdir(exist_ok=True)
            data = path.read_bytes()
            to.write_bytes(gzip.decompress(data) if path.suffix == ".gz" else data)
    volume = ts.open(spec).result().read().result()  # (x, y, z, c)
    slices = sorted((folder / "in").iterdir())
    assert volume.shape[2] == len(slices)
    for z, path in enumerate(slices):
        expected = plane()
        if path.read_bytes().startswith(b"\xff\xd8"):
            expected = np.asarray(Image.open(path, formats=["JPEG"]))
        elif "data_beyond" in name and z == 2:
            expected = np.zeros_like(expected)
        np.testing.assert_array_equal(volume[:, :, z, 0].T, expected)


def test_the_names_are_unlike():
    assert len({one.name for one in CASES}) == len(CASES)


@pytest.mark.parametrize("key", ["s/../evil.png", "s//x.png", "s/e\x1b[31m.png", "s/./x.png"])
def test_an_object_whose_key_can_not_be_read(key, cloud, write_config):
    for name in ("s/s_0.png", key):
        cloud.s3.put_object(Bucket="slices", Key=name, Body=png())
    done = zblocks("convert", write_config(source="s3://slices/s"))
    assert done.code == 2
    assert "InvalidConfig: s3://slices/s/" in done.err
    assert "a name that can't be read" in done.err
    assert "\x1b" not in done.err


UPLOADS = {
    "large": (b" " * (10 * MIB + 1), "larger than 10 MB"),
    "empty": (b"", "line 1, column 1: not JSON"),
    "deep": (b"[" * 10**6, "maximum recursion depth"),
    "twice": (b'{"ext": ".png", "ext": ".tif"}', '"ext" appears twice'),
    "not utf8": (b'{"ext": "\xff"}', "byte 9 is not UTF-8"),
    "a key": (
        json.dumps({"s3_prefix": SECRET}).encode(),
        "s3_prefix: contains what looks like",
    ),
}


@pytest.mark.parametrize("name", UPLOADS)
def test_an_uploaded_config(name, cloud):
    data, words = UPLOADS[name]
    cloud.s3.put_object(Bucket="slices", Key="jobs/a.json", Body=data)
    upload = {"bucket": "slices", "key": "jobs/a.json", "etag": "", "sequencer": ""}
    with pytest.raises(InvalidConfig) as caught:
        read_input({"trigger": upload})
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_key_in_an_executions_input():
    with pytest.raises(InvalidConfig, match=r"access_key.*not shown"):
        read_input({"access_key": KEY_ID, "voxel_resolution": [1, 1, 1]})


def test_a_key_in_what_a_store_says_is_not_shown():
    answer = f"<Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>{KEY_ID}</AWSAccessKeyId>"
    assert hide_keys(answer) == answer.replace(KEY_ID, "(a key, not shown)")
