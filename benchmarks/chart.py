"""The chart of the benchmark: CPU seconds per tool.

`python -m benchmarks.chart JSON PNG`, JSON being seconds by tool.
"""

from __future__ import annotations

import json
import sys

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt


def draw(seconds: dict[str, float], path: str) -> None:
    """Draw one bar a tool, on a logarithmic scale: the tools lie two orders apart."""
    tools = sorted(seconds, key=lambda t: seconds[t])
    figure, axes = plt.subplots(figsize=(8, 0.38 * len(tools) + 1))
    colours = ["#1f6f8b" if t.startswith("zblocks") else "#b9b9b9" for t in tools]
    bars = axes.barh(tools, [seconds[t] for t in tools], color=colours)
    axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=8)
    axes.set_xscale("log")
    axes.set_xlabel("CPU seconds for the same volume, logarithmic (less is better)")
    axes.margins(x=0.1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.invert_yaxis()
    axes.tick_params(labelsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    draw(json.loads(sys.argv[1]), sys.argv[2])
