"""What the metadata of a TIFF says about its planes."""

from __future__ import annotations

from typing import NamedTuple

from zblocks.slices.header import Place

DEPTH = "ZQI"
"""Axes along which planes may be slices; Q and I are of unknown meaning."""

_WORDS = {
    "Z": "slices", "Q": "images", "I": "images", "C": "channels", "T": "frames", "P": "positions",
    "R": "positions", "V": "views", "S": "samples", "L": "exposures",
}  # fmt: skip

Axes = tuple[tuple[str, int], ...]
"""Letter and length of the axes of planes, the slowest first; 0 for a length that isn't known."""


class Stated(NamedTuple):
    """What metadata says."""

    by: str
    """Which metadata says so, in words."""
    planes: int
    """Planes in this file."""
    axes: Axes = ()
    places: tuple[Place, ...] = ()
    """Of the file's pages."""
    elsewhere: str = ""
    """The file that has the metadata instead."""

    @property
    def mixed(self) -> str:
        """The lengths of the axes, in words, if one of them isn't depth; else empty."""
        if all(axis in DEPTH or length == 1 for axis, length in self.axes):
            return ""
        words = (f"{n or ''} {_WORDS.get(a, f'along {a}')}" for a, n in self.axes if n != 1)
        return " × ".join(map(str.strip, words))
