"""Each hostile input ends in one clear error, in bounded memory and time, and publishes nothing.

Damage that no decoder can tell is listed in tests/fuzz/test_decoders.py: above all a flip in the
entropy-coded data of a JPEG, which has no checksum.
"""

from __future__ import annotations

import gzip

import numpy as np
import pytest
import tensorstore as ts
from PIL import Image

from tests.hostile import CASES, judge, plane, run


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
