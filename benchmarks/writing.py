"""System time of writing a volume's files: a conversion, its store alone, and a plain loop.

`python -m benchmarks.writing [--rounds 5]` prints a table; `make bench` has it, too. All write as
many files of the same sizes into the same folders. What is written stays until the end, since a
file system looks longer for a free inode if many were freed in the last seconds.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from zblocks.storage import open_store

SizedFile = tuple[str, int]
"""The path of a file in its folder, and its bytes."""
LOOP, STORE, CONVERSION = "a plain loop", "zblocks' store alone", "zblocks gzip, all of it"
AIM = 1.3  # times the plain loop, at most


def files_in(folder: Path) -> list[SizedFile]:
    """Return the chunks of a volume, in the order of their paths."""
    paths = (p for p in sorted(folder.rglob("*")) if p.is_file() and ".zblocks" not in p.parts)
    return [(str(p.relative_to(folder)), p.stat().st_size) for p in paths]


def plain_loop(folder: Path) -> Callable[[str, memoryview], object]:
    """Return what writes one file in the shortest way, which leaves half of it if it is killed."""

    def write(name: str, data: memoryview) -> None:
        file = os.open(folder / name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.write(file, data)
        os.close(file)

    return write


def through_store(folder: Path) -> Callable[[str, memoryview], object]:
    """Return what writes one file as a conversion does."""
    store = open_store(f"file://{folder}")
    return lambda name, data: store.put(name, data, "application/octet-stream")


WRITERS = {LOOP: plain_loop, STORE: through_store}


def write_all(how: str, folder: Path, files: list[SizedFile]) -> float:
    """Write files, and return the system time of that, in seconds."""
    data = memoryview(os.urandom(max(size for _, size in files)))
    write = WRITERS[how](folder)
    for name, _ in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_stime
    for name, size in files:
        write(name, data[:size])
    return resource.getrusage(resource.RUSAGE_SELF).ru_stime - begun


def one_round(convert: list[str], volume: Path, env: dict[str, str]) -> dict[str, float]:
    """Convert to `volume`, then write the same files beside it; return seconds of system time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_stime
    subprocess.run(convert, env=env, check=True, capture_output=True)
    found = {CONVERSION: resource.getrusage(resource.RUSAGE_CHILDREN).ru_stime - before}
    for number, how in enumerate(WRITERS):
        folder = volume.with_name(f"{volume.name}-{number}")
        line = ["taskset", "-c", "0", sys.executable, "-m", "benchmarks.writing", "--alone", how]
        done = subprocess.run([*line, volume, folder], env=env, check=True, capture_output=True)
        found[how] = float(done.stdout)
    return found


def section(
    command: Callable[[Path], list[str]], scratch: Path, env: dict[str, str], rounds: int
) -> list[str]:
    """Measure, and return the lines of a table; `command` converts to a folder."""
    volumes = [scratch / f"written{n}" for n in range(rounds)]
    found = [one_round(command(volume), volume, env) for volume in volumes]
    files = files_in(volumes[0])
    megabytes = sum(size for _, size in files) / 1e6
    how = (
        f"Median of {rounds} round(s). The loop writes under the final names, so that half a file is left "
        "if it is killed; the store renames. A conversion also starts Python, reads and decodes slices and "
        "takes memory."
    )
    lines = [
        f"\n### System time of writing, {len(files):,} files, {megabytes:.0f} MB\n\n{how}\n",
        "| what | system s | × a plain loop | target | |",
        "|---|---|---|---|---|",
    ]
    for what in found[0]:
        seconds = statistics.median(f[what] for f in found)
        times = statistics.median(f[what] / f[LOOP] for f in found)
        aim = "| |" if what == LOOP else f"≤ {AIM} | {'' if times <= AIM else 'not '}reached |"
        lines.append(f"| {what} | {seconds:.2f} | {times:.2f} | {aim}")
    return lines


def main() -> None:
    """Measure as `make bench` does, or one way of writing alone."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.writing", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--alone", choices=WRITERS, help=argparse.SUPPRESS)
    parser.add_argument("folders", type=Path, nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        volume, folder = options.folders
        print(write_all(options.alone, folder, files_in(volume)))
        return
    from benchmarks.__main__ import CACHE, command, environment
    from benchmarks.stack import make_stack

    stack = make_stack(CACHE, "jpeg")
    with tempfile.TemporaryDirectory(prefix="zblocks-bench-", dir=CACHE) as name:
        to = partial(command, "zblocks gzip", stack)
        print("\n".join(section(to, Path(name), environment(), options.rounds)))


if __name__ == "__main__":
    main()
