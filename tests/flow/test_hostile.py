"""Each hostile input ends in one clear error, in bounded memory and time, and publishes nothing.

What can't be told: a bit flip in the entropy-coded data of a JPEG, or in a strip of an
uncompressed TIFF, may decode without any warning, since neither format has a checksum of its
voxels. PNG (CRC and Adler-32) and deflated TIFF (Adler-32) tell every flip.
"""

from __future__ import annotations

import pytest

from tests.hostile import CASES, judge, run


@pytest.mark.parametrize("one", CASES, ids=lambda one: one.name)
def test_hostile_input(one, tmp_path):
    ended = run(one, tmp_path)
    assert judge(one, ended, tmp_path) == [], ended.text[:2000]


def test_the_names_are_unlike():
    assert len({one.name for one in CASES}) == len(CASES)
