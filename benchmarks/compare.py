"""Does this tree take more CPU time than an earlier one?

`python -m benchmarks.compare REVISION [--rounds 5]`: both convert the stacks of `make bench` in
turn, so that a machine whose speed drifts is the same for both. The table has the medians of each
row, and the median of the ratios of the pairs. Volumes are kept until their row ends
(`benchmarks.writing` says why).
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.__main__ import CACHE, OURS, ROOT, command, environment
from benchmarks.measure import Figures, run
from benchmarks.stack import EXT, make_stack

ROWS = [
    *(("jpeg", tool) for tool in OURS),
    *((kind, "zblocks gzip") for kind in EXT if kind != "jpeg"),
]
"""Kinds of slices, and how they are converted."""


def convert(tree: Path, folder: Path, tool: str, scratch: Path) -> Figures:
    """Convert a folder of slices by the code of a tree."""
    out = Path(tempfile.mkdtemp(dir=scratch)) / "out"
    env = {**environment(), "PYTHONPATH": f"{tree}/lambdas:{tree}"}
    return run(command(tool, folder, out), out, env)


def row(trees: tuple[Path, Path], folder: Path, tool: str, rounds: int) -> str:
    """Return one row of the table."""
    with tempfile.TemporaryDirectory(prefix="zblocks-compare-", dir=CACHE) as name:
        pairs = [
            [convert(tree, folder, tool, Path(name)).cpu_s for tree in trees]
            for _ in range(rounds + 1)
        ][1:]  # the first one fills caches
    before, now = (statistics.median(each) for each in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    return f"| {folder.name}, {tool.removeprefix('zblocks ')} | {before:.2f} | {now:.2f} | {ratio:.3f} |"


def main() -> None:
    """Convert and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("revision", help="of git")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="zblocks-revision-") as name:
        tree = Path(name) / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--detach", tree, options.revision], check=True)
        try:
            print(
                f"| slices | CPU s, {options.revision} | now | × |\n|---|---|---|---|", flush=True
            )
            for kind, tool in ROWS:
                folder = make_stack(CACHE, kind)
                try:
                    print(row((tree, ROOT), folder, tool, options.rounds), flush=True)
                except SystemExit as error:  # such as a format that it didn't have
                    print(f"| {kind}, {tool.removeprefix('zblocks ')} | failed | | |", flush=True)
                    print(error, file=sys.stderr)
        finally:
            subprocess.run([*git, "remove", "--force", tree], check=True)


if __name__ == "__main__":
    main()
