"""Public files that the demo and the tests need: downloaded once, then kept."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path


def download_once(folder: Path, download: Callable[[Path], None]) -> Path:
    """Return `folder`, filled by `download` if it doesn't exist.

    Processes that ask together wait for the first, and none sees a half-filled folder: it gets its
    name when it is complete.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        folder.with_name(f"{folder.name}.lock").open("w") as lock,
        tempfile.TemporaryDirectory(dir=folder.parent) as scratch,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            filled = Path(scratch) / "filled"
            filled.mkdir()
            download(filled)
            filled.rename(folder)
    return folder


def download_wheel(cache: Path, pin: str) -> Path:
    """Return the wheel of `pin` (`nilearn==0.14.1`), kept in `cache`."""

    def download(into: Path) -> None:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--only-binary", ":all:", "-d", str(into), pin], check=True)

    (wheel,) = download_once(cache / pin, download).glob("*.whl")
    return wheel
