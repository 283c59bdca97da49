"""Fuzzes the parsers by coverage, with atheris: `python -m tests.fuzz.coverage_guided [options]`.

Options are libFuzzer's, such as -max_total_time=60. Needs requirements/fuzz.txt.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["zblocks"]):
    from zblocks.config import Config, read_object
    from zblocks.errors import InvalidConfig, SliceListError
    from zblocks.slices.name_list import read_list
    from zblocks.slices.order import from_listing, resolve

SEEDS = (
    b'{"source": "s3://slices/a", "destination": "s3://volumes/b", "voxel_resolution": [4, 4, 9]}',
    b'{"sorted_filename": ["a 0", "Placeholder 1"], "scales": 3, "chunk_size": "auto", "ext": ""}',
    b"Brain 7_001 12\r\nPlaceholder_x 13\nBrain 7_003 15\n",
    b'name,index\n"Brain 7_001",12\n,13\n',
    b'["Brain 7_001", null, "Brain 7_003"]',
    b'[["Brain 7_001", 12], {"index": 15, "name": "Brain 7_003"}]',
    b"s_001.tif\ns_002.tif\ns_10.tif",
)


def one_input(data: bytes) -> None:
    """Parse as a config, as a list and as names; only our own errors may come out."""
    with suppress(InvalidConfig):
        Config.parse(read_object(data, "config.json"), base=None).for_cloud()
    lines = data.decode(errors="replace").split("\n")
    with suppress(SliceListError):
        entries = read_list(lines, "names.txt")
        names = {f"p/{e.name}" for e in entries}
        slots = resolve(entries, lambda e: (f"p/{e.name}",), names, "fill")
        assert [slot.z for slot in slots] == list(range(len(slots)))
    with suppress(SliceListError):
        from_listing((line for line in lines if line), "fill")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as corpus:
        for i, seed in enumerate(SEEDS):
            Path(corpus, str(i)).write_bytes(seed)
        atheris.Setup([*sys.argv, corpus], one_input)
        atheris.Fuzz()
