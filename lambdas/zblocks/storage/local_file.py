"""Writes files of a local folder as obstore does, but in the calling thread.

A file appears under its name when it is complete. Until then its name ends in `#` and a number;
obstore lists no such names.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

from zblocks.compression import Buffer

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
MODE = 0o666  # without the bits of the process's umask
PLAIN_NAME = re.compile(r"([\w-][\w.-]*/)*[\w-][\w.-]*", re.ASCII)
"""Names as of chunks and most documents; obstore checks others, and refuses some."""


def write_file(path: str, parts: Sequence[Buffer]) -> str:
    """Write the parts to a file, replacing any; make missing folders. Return obstore's ETag of it.

    Raises OSError: it can't be written; nothing is left of it, and an older file is unchanged.
    """
    file, unfinished = _create(path)
    try:
        try:
            for part in parts:
                _write(file, memoryview(part))
            found = os.fstat(file)
        finally:
            os.close(file)
        os.rename(unfinished, path)  # noqa: PTH104 - a Path costs more than the call
    except BaseException:
        with suppress(OSError):
            os.unlink(unfinished)  # noqa: PTH108
        raise
    return f'"{found.st_ino:x}-{found.st_mtime_ns // 1000:x}-{found.st_size:x}"'


def _create(path: str) -> tuple[int, str]:
    """Create the first unfinished file that no other writer has, or left behind; return both."""
    for number in count(1):
        name = f"{path}#{number}"
        try:
            return os.open(name, NEW, MODE), name
        except FileExistsError:
            pass
        except FileNotFoundError:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
    raise AssertionError


def _write(file: int, data: memoryview) -> None:
    while data:
        data = data[os.write(file, data) :]
