"""One command as a whole process tree: CPU seconds, wall time, peak memory.

CPU: user and system time of all descendants that were waited for, as the kernel accounts them
(getrusage of children), so nothing that a tool starts and waits for is missed. Memory: the sum of
the tree's proportional set sizes, sampled, so that pages shared by processes count once.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

SAMPLE = 0.1
"""Seconds between two looks at the memory."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a command took."""

    cpu_s: float
    wall_s: float
    peak_mb: float
    files: int
    out_mb: float


def run(line: list[str], out: Path, env: dict[str, str]) -> Figures:
    """Run a command that writes to `out`.

    Raises:
        SystemExit: it failed; with what it said last.
    """
    log = out.with_suffix(".log")
    begun = time.monotonic()
    before = os.times()
    with log.open("wb") as sink:
        process = subprocess.Popen(line, stdout=sink, stderr=sink, env=env)
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, tree_mb(process.pid))
            time.sleep(SAMPLE)
    after = os.times()
    if process.returncode:
        raise SystemExit(f"{' '.join(line)} failed:\n{log.read_text()[-3000:]}")
    cpu = after.children_user + after.children_system
    cpu -= before.children_user + before.children_system
    outputs = (p for each in out.parent.glob(f"{out.name}*") for p in each.rglob("*"))
    files = [p for p in outputs if p.is_file() and ".zblocks" not in p.parts]
    size = sum(p.stat().st_size for p in files) / 1e6
    return Figures(round(cpu, 2), round(time.monotonic() - begun, 2), round(peak), len(files), size)


def tree_mb(root: int) -> float:
    """Return the proportional set size of a process and all below it, MB."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    total, todo = 0.0, [root]
    while todo:
        pid = todo.pop()
        todo += children.get(pid, [])
        total += pss_kb(pid)
    return total / 1000


def pss_kb(pid: int) -> float:
    """Return one process's proportional set size, kB; 0 if it has gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return float(text.split("Pss:")[1].split()[0]) if "Pss:" in text else 0
