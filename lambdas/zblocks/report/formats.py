"""Formats numbers, units and ranges for people."""

from __future__ import annotations

from collections.abc import Sequence

from zblocks.geometry import Box
from zblocks.planning.bill import show_dollars


def number(value: float) -> str:
    """Return a number with thousands separators; fractions to about three digits."""
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3g}"


def short(value: float) -> str:
    """Return a number for an axis label, large ones with a k, M or G."""
    for letter, unit in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= 10 * unit:
            return f"{number(round(value / unit))}{letter}"
    return number(value)


def plural(count: int, noun: str) -> str:
    """Return a count and its noun, singular or plural."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def size(count: float) -> str:
    """Return a number of bytes in the unit that fits, from bytes to TB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{number(round(count, 1))} {unit}"
        count /= 1000
    return f"{number(round(count, 2))} TB"


def duration(seconds: float) -> str:
    """Return a duration in s, min or h."""
    if seconds < 120:
        return f"{number(round(seconds, 1))} s"
    if seconds < 7200:
        return f"{number(round(seconds / 60, 1))} min"
    return f"{number(round(seconds / 3600, 1))} h"


def span(z0: int, z1: int) -> str:
    """Return slices [z0, z1) as an inclusive range, such as `3–7`."""
    if z1 - z0 <= 1:
        return f"{z0}"
    return f"{z0}{' to ' if z0 < 0 else '–'}{z1 - 1}"


def place(box: Box, volume: Box) -> str:
    """Return where a block lies: its slices, and its x and y where it is cut along these."""
    cut = [
        f"{axis} {span(a, b)}"
        for axis, a, b, whole in zip("xy", box.start, box.stop, volume.shape, strict=False)
        if b - a < whole
    ]
    return ", ".join([span(box.start.z, box.stop.z), *cut])


def lengths(nm: Sequence[float]) -> str:
    """Return lengths, given in nm, in the unit that fits the longest."""
    for unit, factor in (("mm", 1e6), ("µm", 1e3)):
        if max(nm) >= factor:
            return " × ".join(f"{v / factor:.3g}" for v in nm) + f" {unit}"
    return " × ".join(f"{v:.3g}" for v in nm) + " nm"


def dollars(amount: float | None) -> str:
    """Return an amount in US dollars; two significant digits below $1."""
    return "–" if amount is None else f"${show_dollars(amount)}"
