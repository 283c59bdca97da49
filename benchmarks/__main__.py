"""`make bench`: this project and its peers on the same stack, in one run, interleaved.

Prints and writes docs/bench.md and docs/bench.png. Medians of the rounds; ratios are of figures of
the same round. `--quick`: 64 slices, one round, to see that it works.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from benchmarks.measure import Figures, run
from benchmarks.peers import CHUNK, NM, OME_ZARR, SCALES, TOOLS
from benchmarks.stack import EXT, make_stack, repeat_stack
from benchmarks.writing import section

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "bench"
PEERS = ROOT / ".venv-bench" / "bin" / "python"

OURS = {
    "zblocks gzip": ({}, 1),
    "zblocks raw": ({"compression": "none"}, 1),
    "zblocks sharded gzip": ({"sharding": True}, 1),
    "zblocks OME-Zarr gzip": ({"format": "ome-zarr"}, 1),
    "zblocks both formats gzip": ({"format": ["precomputed", "ome-zarr"]}, 1),
    "zblocks gzip, 2 workers": ({}, 2),
}
"""Fields of the config, and workers; one worker is held to one core."""

PRECOMPUTED = [
    "zblocks gzip",
    "zblocks raw",
    "zblocks sharded gzip",
    *(t for t in TOOLS if t not in OME_ZARR),
]
ZARR = ["zblocks gzip", "zblocks OME-Zarr gzip", "zblocks both formats gzip", *OME_ZARR]
DEEP = ["zblocks gzip", "zblocks gzip, 2 workers", "zblocks both formats gzip"]
REPEATED = 1536
"""Slices of the stack that workers share: 24 blocks, so that start and end weigh little; and so do
chunks at the far end along z, which each format stores in its own way."""


@dataclass(frozen=True, slots=True)
class Goal:
    """One line of what is to be reached."""

    what: str
    value: Callable[[dict[str, Figures], dict[str, float]], float]
    at_least: float | None = None
    at_most: float | None = None
    best: Callable[[dict[str, Figures], dict[str, float]], float] | None = None
    """What the minimum would reach."""

    def reached(self, value: float) -> bool:
        """Return whether a value is good enough."""
        low = self.at_least is None or value >= self.at_least
        return low and (self.at_most is None or value <= self.at_most)

    @property
    def limit(self) -> str:
        """What is asked for, in words."""
        return f"≥ {self.at_least}" if self.at_most is None else f"≤ {self.at_most}"


GOALS = [
    Goal("gzip: CPU time, × minimum", lambda f, c: f["zblocks gzip"].cpu_s / c["gzip all"],
         at_most=1.25),
    Goal("gzip: less CPU than neuroglancer-scripts gzip, ×",
         lambda f, _: f["neuroglancer-scripts gzip"].cpu_s / f["zblocks gzip"].cpu_s, at_least=20),
    Goal("gzip: less CPU than cloud-volume + igneous, ×",
         lambda f, _: f["cloud-volume + igneous gzip"].cpu_s / f["zblocks gzip"].cpu_s,
         at_least=10),
    Goal("raw: less CPU than tensorstore raw, ×",
         lambda f, _: f["tensorstore raw"].cpu_s / f["zblocks raw"].cpu_s, at_least=2.5,
         best=lambda f, c: f["tensorstore raw"].cpu_s / c["raw"]),
    Goal("raw: less CPU than neuroglancer-scripts raw (flags of the 2019 script), ×",
         lambda f, _: f["neuroglancer-scripts raw"].cpu_s / f["zblocks raw"].cpu_s, at_least=5,
         best=lambda f, c: f["neuroglancer-scripts raw"].cpu_s / c["raw"]),
    Goal("sharded: less CPU than tensorstore sharded, ×",
         lambda f, _: f["tensorstore sharded gzip"].cpu_s / f["zblocks sharded gzip"].cpu_s,
         at_least=8),
    Goal("sharded: CPU time, × unsharded",
         lambda f, _: f["zblocks sharded gzip"].cpu_s / f["zblocks gzip"].cpu_s, at_most=1.1),
    Goal("2 workers: throughput, × 1 worker, 24 blocks", lambda _, c: c["two workers"],
         at_least=1.85),
    Goal("import of the block handler, CPU s", lambda _, c: c["import"], at_most=0.25),
    Goal("zblocks --help, CPU s", lambda _, c: c["help"], at_most=0.25),
    Goal("8 slices of 500×500 converted here, CPU s of all processes", lambda _, c: c["small run"],
         at_most=0.7),
]  # fmt: skip


ZARR_GOALS = [
    Goal("both formats: CPU time, × precomputed alone",
         lambda f, _: f["zblocks both formats gzip"].cpu_s / f["zblocks gzip"].cpu_s, at_most=1.1),
    Goal("the same, of 24 layers of chunks", lambda _, c: c["both formats"], at_most=1.1),
    Goal("OME-Zarr alone: CPU time, × precomputed alone",
         lambda f, _: f["zblocks OME-Zarr gzip"].cpu_s / f["zblocks gzip"].cpu_s, at_most=1.02),
    Goal("OME-Zarr: less CPU than tensorstore zarr3 gzip, ×",
         lambda f, _: f["tensorstore zarr3 gzip"].cpu_s / f["zblocks OME-Zarr gzip"].cpu_s,
         at_least=1.0),
    Goal("OME-Zarr: less CPU than ngff-zarr, ×",
         lambda f, _: f["ngff-zarr"].cpu_s / f["zblocks OME-Zarr gzip"].cpu_s, at_least=1.0),
]  # fmt: skip


def command(tool: str, folder: Path, out: Path) -> list[str]:
    """Return the command line of one job."""
    if tool in TOOLS:
        return [str(PEERS), "-m", "benchmarks.peers", tool, str(folder), str(out)]
    fields, workers = OURS[tool]
    config = out.with_suffix(".json")
    document = {
        "source": f"file://{folder}",
        "destination": f"file://{out}",
        "ext": next(EXT[k] for k in EXT if folder.name.startswith(k)),
        "voxel_resolution": [NM] * 3,
        "chunk_size": [CHUNK] * 3,
        "scales": SCALES,
        **fields,
    }
    config.write_text(json.dumps(document))
    pinned = ["taskset", "-c", "0"] if workers == 1 else []
    line = [*pinned, sys.executable, "-m", "zblocks", "convert", str(config)]
    return [*line, "--workers", str(workers)]


def environment() -> dict[str, str]:
    """Return the environment of every tool: compiled modules are kept, as on a user's machine."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": f"{ROOT}/lambdas:{ROOT}"}


def one_round(tools: list[str], folder: Path, scratch: Path) -> dict[str, Figures]:
    """Run every tool once; what they write is kept, as `benchmarks.writing` does, and why."""
    found = {}
    env = environment()
    for tool in tools:
        out = Path(tempfile.mkdtemp(dir=scratch)) / "out"
        found[tool] = run(command(tool, folder, out), out, env)
        print(
            f"  {tool:30} {found[tool].cpu_s:7.1f} CPU s  {found[tool].wall_s:7.1f} s", flush=True
        )
    return found


def parts_alone(folder: Path, scratch: Path) -> dict[str, float]:
    """Return the minimum of each part, and what starting costs, CPU seconds."""
    env = environment()
    line = [sys.executable, "-m", "benchmarks.light", str(folder), str(scratch / "light")]
    found = json.loads(subprocess.run(line, env=env, check=True, capture_output=True).stdout)
    shutil.rmtree(scratch / "light")
    line = [sys.executable, "-m", "benchmarks.start"]
    started = subprocess.run(line, env=env, check=True, capture_output=True).stdout
    return {**found, **json.loads(started)}


def median(rounds: list[dict[str, Figures]], tool: str) -> Figures:
    """Return the median of each figure."""
    every = [r[tool] for r in rounds]
    return Figures(*(statistics.median(getattr(f, n) for f in every) for n in Figures.__slots__))


def table(kind: str, voxels: float, rounds: list[dict[str, Figures]], light: float) -> list[str]:
    """Return the rows of one stack's table."""
    rows = [
        f"\n### {kind}, {voxels / 1e6:.0f} Mvoxel\n",
        "| tool | CPU s | × minimum | wall s | peak MB | files | MB out | Mvoxel per CPU s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for tool in rounds[0]:
        f = median(rounds, tool)
        times = f"{f.cpu_s / light:.1f}" if light else ""
        rows.append(
            f"| {tool} | {f.cpu_s:.1f} | {times} | {f.wall_s:.1f} | {f.peak_mb:.0f} "
            f"| {f.files:.0f} | {f.out_mb:.0f} | {voxels / 1e6 / f.cpu_s:.0f} |"
        )
    return rows


def goal_rows(
    goals: list[Goal], rounds: list[dict[str, Figures]], parts: list[dict[str, float]]
) -> list[str]:
    """Return a table of goals; each value is the median of the rounds' ratios."""
    rows = ["\n### Goals\n", "| goal | target | measured | |", "|---|---|---|---|"]
    for goal in goals:
        try:
            value = statistics.median(goal.value(f, c) for f, c in zip(rounds, parts, strict=True))
        except KeyError:
            continue
        mark = "reached" if goal.reached(value) else "not reached"
        if goal.best and mark == "not reached":
            best = statistics.median(goal.best(f, c) for f, c in zip(rounds, parts, strict=True))
            mark += f"; the minimum would reach {best:.2f}"
        rows.append(f"| {goal.what} | {goal.limit} | {value:.2f} | {mark} |")
    return rows


def draw(rounds: list[dict[str, Figures]], path: Path) -> None:
    """Draw CPU seconds per tool, by the environment that has matplotlib."""
    seconds = {tool: median(rounds, tool).cpu_s for tool in rounds[0]}
    line = [str(PEERS), "-m", "benchmarks.chart", json.dumps(seconds), str(path)]
    subprocess.run(line, cwd=ROOT, check=True)


def main() -> None:
    """Measure everything and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    slices, count = (64, 1) if options.quick else (None, options.rounds)
    repeated = repeat_stack(make_stack(CACHE, "jpeg"), REPEATED)
    stacks = {k: make_stack(CACHE, k, slices) for k in EXT}
    how = (
        f"\n`make bench`: {count} round(s), interleaved, on {os.cpu_count()} shared cores "
        f"({platform.machine()}), Python {platform.python_version()}, local disk. Figures are medians; ratios "
        "are computed within a round. zblocks runs one worker on one core unless a number is given; "
        "the other tools use both cores. × minimum: CPU time divided by the sum of decode, assemble, cut, gzip, "
        "means and write, each measured alone on one core in the same run."
    )
    lines = ["# Benchmarks", how]
    with tempfile.TemporaryDirectory(prefix="zblocks-bench-", dir=CACHE) as name:
        scratch = Path(name)
        to = partial(command, "zblocks gzip", stacks["jpeg"])
        writing = section(to, scratch, environment(), count)  # first: nothing was deleted lately
        rounds, parts, deep, zarr = [], [], [], []
        for number in range(count):
            print(f"round {number + 1} of {count}", flush=True)
            parts.append(parts_alone(stacks["jpeg"], scratch))
            with tempfile.TemporaryDirectory(dir=scratch) as kept:
                rounds.append(one_round(PRECOMPUTED, stacks["jpeg"], Path(kept)))
                zarr.append(one_round(ZARR, stacks["jpeg"], Path(kept)))
                deep.append(one_round(DEEP, repeated, Path(kept)))
            one, two, both = (deep[-1][tool] for tool in DEEP)
            parts[-1]["two workers"] = one.wall_s / two.wall_s
            parts[-1]["both formats"] = both.cpu_s / one.cpu_s
        light = statistics.median(p["gzip all"] for p in parts)
        voxels = 1576 * 1864 * (slices or 189)
        lines += table("JPEG", voxels, rounds, light) + goal_rows(GOALS, rounds, parts)
        lines += table("OME-Zarr, JPEG", voxels, zarr, 0) + goal_rows(ZARR_GOALS, zarr, parts)
        lines += table(f"JPEG, repeated to {REPEATED} slices", 1576 * 1864 * REPEATED, deep, 0)
        lines += writing
        lines += ["\nParts alone, CPU s: " + json.dumps(parts[-1])]
        for kind in ("tiff-lzw", "tiff-16"):
            print(kind, flush=True)
            tools = [
                "zblocks gzip",
                "zblocks raw",
                "tensorstore raw",
                "cloud-volume + igneous gzip",
            ]
            lines += table(kind, voxels, [one_round(tools, stacks[kind], scratch)], 0)
    text = "\n".join(lines) + "\n"
    print(text)
    raw = {"rounds": [{t: asdict(f) for t, f in r.items()} for r in rounds], "parts": parts}
    (CACHE / "bench.json").write_text(json.dumps(raw, indent=1))
    if not options.quick:
        (ROOT / "docs" / "bench.md").write_text(text)
        draw(rounds, ROOT / "docs" / "bench.png")


if __name__ == "__main__":
    main()
