"""An entry of `multiscales` of an OME-Zarr image written by any tool: axes and levels.

Format: OME-Zarr 0.4 and 0.5 (ngff.openmicroscopy.org).
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zblocks.compression import MissingDecoderError
from zblocks.omezarr.fields import FieldError, get_list, is_number

_PREFIXES = {
    "yocto": -24, "zepto": -21, "atto": -18, "femto": -15, "pico": -12, "nano": -9, "micro": -6,
    "milli": -3, "centi": -2, "deci": -1, "": 0, "hecto": 2, "kilo": 3, "mega": 6, "giga": 9,
    "tera": 12, "peta": 15, "exa": 18, "zetta": 21, "yotta": 24,
}  # fmt: skip
UNITS = {f"{name}meter": 10.0 ** (power + 9) for name, power in _PREFIXES.items()} | {
    "angstrom": 0.1, "inch": 2.54e7, "foot": 3.048e8, "yard": 9.144e8, "mile": 1.609344e12,
    "parsec": 3.0856775814913673e25,
}  # fmt: skip
"""The units of space that the specification lists, in nm."""

ORDER = ("time", "channel", "space")  # of the types of axes


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis."""

    name: str
    kind: str  # `time`, `channel` or `space`
    letter: str  # of `tczyx`
    unit: str = ""  # empty if none is given


@dataclass(frozen=True, slots=True)
class Transform:
    """The scale of a level, and the position of its first voxel's centre, along the axes."""

    scale: tuple[float, ...]
    translation: tuple[float, ...]

    def then(self, other: Transform) -> Transform:
        """Return both, one after the other."""
        each = list(zip(self.scale, self.translation, other.scale, other.translation, strict=True))
        scale = tuple(s * s2 for s, _, s2, _ in each)
        return Transform(scale, tuple(t * s2 + t2 for _, t, s2, t2 in each))


def parse_axes(entry: dict[str, Any]) -> tuple[Axis, ...]:
    """Parse the axes of a multiscale image.

    Axes of space are z, y and x by their names, in any letter case; by their order, where these
    are others. Raises FieldError.
    """
    given = get_list(entry, "axes")
    if not 2 <= len(given) <= 5 or not all(isinstance(axis, dict) for axis in given):
        raise FieldError("axes", f"are {given!r:.200}, not two to five objects")
    names = [axis.get("name") for axis in given]
    if not all(isinstance(n, str) and n for n in names) or len(set(names)) < len(names):
        raise FieldError("axes", f"have the names {names!r:.200}: each needs one of its own")
    kinds = [_kind(axis) for axis in given]
    if kinds != sorted(kinds, key=ORDER.index):
        raise FieldError("axes", f"are {', '.join(names)}: time comes first, then channels, space")
    space = kinds.count("space")
    if not 2 <= space <= 3 or len(kinds) - space > len(set(kinds)) - 1:
        text = f"are {', '.join(kinds)}: two or three of space, at most one of the others"
        raise FieldError("axes", text)
    letters = ["t" if kind == "time" else "c" for kind in kinds[:-space]]
    lower = [name.lower() for name in names[-space:]]
    letters += lower if set(lower) <= set("zyx") and len(set(lower)) == space else "zyx"[-space:]
    units = [str(axis.get("unit") or "") for axis in given]
    return tuple(map(Axis, names, kinds, letters, units))


def _kind(axis: dict[str, Any]) -> str:
    """Return an axis's kind; without a type, by its name; `channel` for all others."""
    kind, name = axis.get("type"), str(axis["name"]).lower()
    if kind is None and name in tuple("tzyx"):
        return "time" if name == "t" else "space"
    return kind if kind in ORDER else "channel"


def parse_path(entry: Any) -> str:
    """Return the folder of a level's array. Raises FieldError."""
    path = entry.get("path") if isinstance(entry, dict) else None
    plain = posixpath.normpath(path) if isinstance(path, str) and path.isprintable() else ""
    if not plain or plain.startswith(("/", "..")) or plain == "." or "://" in plain:
        raise FieldError("path", f"is {path!r:.100}, not a folder in the image")
    return plain


def parse_transforms(entry: dict[str, Any], rank: int) -> Transform:
    """Parse a level's `coordinateTransformations`: one scale, then at most one translation.

    Raises FieldError; MissingDecoderError if values are in a file.
    """
    field = "coordinateTransformations"
    given = get_list(entry, field)
    kinds = [one.get("type") if isinstance(one, dict) else None for one in given]
    if kinds not in (["scale"], ["scale", "translation"]):
        text = f"are {kinds!r:.100}: one scale, then at most one translation"
        raise FieldError(field, text)
    values = [_numbers(one, kind, rank) for one, kind in zip(given, kinds, strict=True)]
    scale, translation = (*values, (0.0,) * rank)[:2]
    if any(s <= 0 for s in scale):
        raise FieldError("scale", f"is {list(scale)!r:.100}: each number must be above 0")
    return Transform(scale, translation)


def _numbers(entry: dict[str, Any], kind: str, rank: int) -> tuple[float, ...]:
    if kind not in entry and isinstance(entry.get("path"), str):
        raise MissingDecoderError(f"a {kind} in the file {entry['path']:.100}")
    values: Sequence[Any] = get_list(entry, kind)
    if len(values) != rank or not all(map(is_number, values)):
        raise FieldError(kind, f"is {values!r:.100}, not {rank} numbers")
    return tuple(map(float, values))
