"""Draws the report's charts as inline SVG.

The page stretches a chart to fit, so a chart has no text; the page puts the labels around it.
More than `COLUMNS` values are drawn as that many columns with the minimum and maximum of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

COLUMNS = 800
HEIGHT = 200  # of the SVG view box; its width is 1000


@dataclass(frozen=True, slots=True)
class Mark:
    """A vertical line or stripe across a chart."""

    x0: float
    x1: float  # left and right edge, as fractions of the chart's width
    kind: str  # CSS class


@dataclass(frozen=True, slots=True)
class Series:
    """Values in the order of x; NaN where there is none."""

    low: Values
    mean: Values
    high: Values


def band(series: Series, top: float, bottom: float, marks: Iterable[Mark], label: str) -> str:
    """Return an SVG of the mean, and of the band from low to high, between `bottom` and `top`."""
    low, high = (_columns(v, how) for v, how in ((series.low, "min"), (series.high, "max")))
    dark, light = (_columns(series.mean, how) for how in ("min", "max"))

    def y(values: Values) -> Values:
        return HEIGHT - (values - bottom) / (top - bottom or 1) * HEIGHT

    parts = [_mark(m) for m in marks]
    parts += [f'<path class="band" d="{_area(y(high), y(low))}"/>']
    parts += [f'<path class="mean" d="{_area(y(light), y(dark))}"/>']
    return _svg(parts, label)


def bars(heights: Values, top: float, lines: Iterable[tuple[float, str]], label: str) -> str:
    """Return an SVG of bars (NaN: none) and of horizontal lines (height and CSS class of each).

    `top` is the height that fills the chart, `label` the text for screen readers.
    """
    tall = _columns(heights, "max")
    width = 1000 / max(len(tall), 1)
    gap = min(width * 0.15, 2.0) if width > 5 else 0  # gaps between narrow bars would flicker
    # Neighbours share an edge, so that no seam shows.
    edges = [round(i * width, 1) for i in range(len(tall) + 1)]
    tops = np.nan_to_num(tall) / max(top, 1e-9) * HEIGHT
    rects = [
        f'<rect x="{_n(x0)}" y="{_n(HEIGHT - h)}" width="{_n(x1 - x0 - gap)}" height="{_n(h)}"/>'
        for x0, x1, h in zip(edges, edges[1:], tops, strict=False)
        if h > 0
    ]
    across = [
        f'<path class="{kind}" d="M0 {_n(HEIGHT - at / top * HEIGHT)}H1000"/>'
        for at, kind in lines
        if at <= top
    ]
    return _svg([f'<g class="bars">{"".join(rects)}</g>', *across], label)


def log_bars(counts: Sequence[int], marks: Iterable[Mark], label: str) -> str:
    """Return an SVG of bars as high as the logarithms of counts."""
    heights = np.log10(1 + np.asarray(counts, np.float64))
    drawn = bars(heights, float(heights.max(initial=1e-9)), (), label)
    return drawn.replace("<g ", "".join(_mark(m) for m in marks) + "<g ", 1)


def _columns(values: Values, how: str) -> Values:
    """Return at most `COLUMNS` values: the minimum or maximum of each run, ignoring NaN."""
    if len(values) <= COLUMNS:
        return values
    starts = np.linspace(0, len(values), COLUMNS, endpoint=False).astype(int)
    reduce = np.fmin if how == "min" else np.fmax
    return np.asarray(reduce.reduceat(values, starts))


def _area(upper: Values, lower: Values) -> str:
    """Return the SVG path of the area between two lines, interrupted where values are NaN."""
    count, path = len(upper), []
    x = (np.arange(count) + 0.5) * 1000 / max(count, 1)
    there = np.flatnonzero(~np.isnan(upper))
    for run in np.split(there, np.flatnonzero(np.diff(there) > 1) + 1):
        if not len(run):
            continue
        half = 500 / count  # a run of one value is as wide as its column
        left, right = x[run[0]] - half, x[run[-1]] + half
        along = [(left, upper[run[0]], lower[run[0]])]
        along += [(x[i], upper[i], lower[i]) for i in run]
        along += [(right, upper[run[-1]], lower[run[-1]])]
        forth = "L".join(f"{_n(a)} {_n(b)}" for a, b, _ in along)
        back = "L".join(f"{_n(a)} {_n(b)}" for a, _, b in reversed(along))
        path.append(f"M{forth}L{back}Z")
    return "".join(path)


def _mark(mark: Mark) -> str:
    x0, width = mark.x0 * 1000, max((mark.x1 - mark.x0) * 1000, 1.5)  # about a pixel at least
    return f'<rect class="{mark.kind}" x="{_n(x0)}" y="0" width="{_n(width)}" height="{HEIGHT}"/>'


def _svg(parts: Iterable[str], label: str) -> str:
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 1000 {HEIGHT}" '
        f'preserveAspectRatio="none">{"".join(parts)}</svg>'
    )


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
