"""Decodes what it is sent, in a process of its own, whose death would be a finding.

On stdin: a line with the number of rows to read at a time (0: all) and of bytes; then the bytes. On
stdout a line: `voxels`, `refused`, `large` (its plan would not fit), or what else was raised.
"""

from __future__ import annotations

import resource
import sys

import numpy as np

from zblocks.errors import SliceError
from zblocks.host import peak_mb
from zblocks.slices import open_slice, probe

MOST = 1 << 24
"""Bytes of voxels; the plan sees to it that larger slices have the memory."""


class Held:
    """Bytes in memory, as a source."""

    name = "held"

    def __init__(self, data: bytes) -> None:
        self.data, self.size = data, len(data)

    def read_at(self, start: int, length: int) -> bytes:
        """Return up to `length` bytes."""
        return self.data[start : start + length]


def decode(data: bytes, rows: int) -> str:
    """Return how it ended."""
    source = Held(data)
    try:
        header = probe(source)
        out = np.empty((header.height, header.width, header.channels), header.dtype)
        if out.nbytes > MOST:
            return "large"
        rows = rows or header.height
        reader = open_slice(source, header, rows)
        for y in range(0, header.height, rows):
            reader.read_rows(out[y : y + rows])
    except SliceError as error:
        return "refused" if "held" in str(error) else f"names no file: {error}"
    except BaseException as error:
        return f"{type(error).__name__}: {error}".replace("\n", " ")
    return "voxels"


def main() -> None:
    """Answer until the input ends; at last the peak memory in MiB."""
    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
    while line := sys.stdin.buffer.readline():
        rows, count = map(int, line.split())
        if count:
            print(decode(sys.stdin.buffer.read(count), rows), flush=True)
        else:
            print(peak_mb(), flush=True)


if __name__ == "__main__":
    main()
