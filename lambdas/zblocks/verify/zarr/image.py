"""The metadata of one OME-Zarr image against the specification: where its levels are.

Format: OME-Zarr 0.4 and 0.5 (ngff.openmicroscopy.org). A level's translation is the position of its
first voxel's centre.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zblocks.compression import MissingDecoderError
from zblocks.omezarr.fields import FieldError, get_list, is_number
from zblocks.omezarr.multiscale import (
    UNITS,
    Axis,
    Transform,
    parse_axes,
    parse_path,
    parse_transforms,
)
from zblocks.precomputed.info import are_nm, is_whole
from zblocks.precomputed.scale import Resolution
from zblocks.verify.findings import Findings
from zblocks.verify.zarr.nodes import VERSIONS, Group, join

Position = tuple[float, float, float]  # nm, xyz
FARTHEST = 1e25  # nm
CORRECT = "correct it, or write the image again"


@dataclass(frozen=True, slots=True)
class Level:
    """One level of an image, as its group describes it."""

    path: str  # its array's folder, relative to the root
    resolution: Resolution
    centre: Position  # of its first voxel

    @property
    def edge(self) -> Position:
        """Where it begins: half a voxel before its first centre."""
        x, y, z = (c - r / 2 for c, r in zip(self.centre, self.resolution, strict=True))
        return x, y, z


@dataclass(frozen=True, slots=True)
class MultiscaleImage:
    """An entry of `multiscales`."""

    axes: tuple[Axis, ...]
    levels: tuple[Level, ...]

    @property
    def letters(self) -> str:
        """Its axes by their letters."""
        return "".join(axis.letter for axis in self.axes)


def report(error: FieldError, place: str, found: Findings) -> None:
    """Note a field that is missing or wrong; the kind is named after it."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])|_", "-", error.field).lower()
    found.problem(f"bad-{name}", place, str(error), CORRECT)


def check_image(group: Group, found: Findings) -> list[MultiscaleImage]:
    """Check an image's metadata; return those entries of `multiscales` that can be used."""
    _check_version(group, found)
    entries = group.ome.get("multiscales")
    if not isinstance(entries, list) or not entries:
        text, do = f"is {entries!r:.100}, not a list of at least one image", "list the image"
        found.problem("no-multiscales", group.place("multiscales"), text, do)
        return []
    images = [_check_entry(group, n, entry, found) for n, entry in enumerate(entries)]
    return [image for image in images if image is not None]


def _check_version(group: Group, found: Findings) -> None:
    """Check the version that the metadata states; before 0.5, each image states its own."""
    right, given = VERSIONS[group.zarr], group.ome.get("version")
    if group.zarr == 2:
        entries = group.ome.get("multiscales")
        first = entries[0] if isinstance(entries, list) and entries else None
        given = first.get("version") if isinstance(first, dict) else None
        if given is None:
            found.note(f"{group.document}: states no version of OME-Zarr; checked as {right}")
            return
    if isinstance(given, str) and given != right and re.fullmatch(r"0\.\d+(\..*)?", given):
        what = f"OME-Zarr {given} on Zarr {group.zarr}"
        found.cannot(f"{group.document}: {what}; {right} is checked, which may differ")
    elif given != right:
        text = f"is {given!r:.100}"
        found.problem("bad-version", group.place("version"), text, f'write "{right}"')


def _check_entry(group: Group, number: int, entry: Any, found: Findings) -> MultiscaleImage | None:
    place = group.place(f"multiscales[{number}]")
    if not isinstance(entry, dict):
        found.problem("no-multiscales", place, "is not a JSON object", "describe the image")
        return None
    try:
        axes = parse_axes(entry)
        datasets = get_list(entry, "datasets")
        common = Transform((1.0,) * len(axes), (0.0,) * len(axes))
        if "coordinateTransformations" in entry:
            common = parse_transforms(entry, len(axes))
    except FieldError as error:
        report(error, place, found)
        return None
    except MissingDecoderError as error:
        found.cannot(f"{place}: {error} can't be read here")
        return None
    _check_axes(axes, place, found)
    entries = _Datasets(group.path, axes, common, found)
    levels = [entries.check(d, f"{place}.datasets[{n}]") for n, d in enumerate(datasets)]
    usable = tuple(level for level in levels if level is not None)
    if not levels:
        found.problem("bad-datasets", place, "datasets is empty", "list every level")
    paths = [level.path for level in usable]
    if len(set(paths)) < len(paths):
        found.problem("duplicate-path", place, f"has the paths {paths!r:.200}", CORRECT)
        return None
    return MultiscaleImage(axes, usable) if usable and len(usable) == len(levels) else None


def _check_axes(axes: Sequence[Axis], place: str, found: Findings) -> None:
    space = [axis for axis in axes if axis.kind == "space"]
    for axis in space:
        if axis.unit and axis.unit not in UNITS:
            text = f"axis {axis.name:.50} has the unit {axis.unit!r:.50}"
            do = "write a unit of the specification, such as nanometer"
            found.problem("bad-unit", f"{place}.axes", text, do)
    if not all(axis.unit for axis in space):
        found.note(f"{place}.axes: has no units, so that the size of voxels isn't known")
    letters = "".join(axis.letter for axis in space)
    if not "zyx".endswith(letters):
        names = ", ".join(axis.name for axis in space)
        found.note(f"{place}.axes: are {names}; the specification recommends z, y, x")
    if any(axis.name.lower() != axis.letter for axis in space):
        found.note(f"{place}.axes: names of axes other than z, y, x; taken in this order")


@dataclass(frozen=True, slots=True)
class _Datasets:
    """What the entries of `datasets` lie in."""

    folder: str
    axes: tuple[Axis, ...]
    common: Transform  # of all levels
    found: Findings

    def check(self, entry: Any, place: str) -> Level | None:
        try:
            path = parse_path(entry)
            transform = parse_transforms(entry, len(self.axes)).then(self.common)
        except FieldError as error:
            report(error, place, self.found)
            return None
        except MissingDecoderError as error:
            self.found.cannot(f"{place}: {error} can't be read here")
            return None
        scale, centre = self._xyz(transform.scale, 1.0), self._xyz(transform.translation, 0.5)
        if not are_nm(list(scale)) or not all(abs(p) < FARTHEST for p in centre):
            text = f"is {list(scale)!r:.200} nm at {list(centre)!r:.200}, not a place of voxels"
            self.found.problem("bad-scale", place, text, CORRECT)
            return None
        return Level(join(self.folder, path), scale, centre)

    def _xyz(self, values: Sequence[float], absent: float) -> Resolution:
        """Return values in nm, xyz; `absent` along an axis that the image lacks."""
        nm = {
            axis.letter: value * UNITS.get(axis.unit, 1.0)
            for axis, value in zip(self.axes, values, strict=True)
        }
        return nm.get("x", absent), nm.get("y", absent), nm.get("z", absent)


def check_channels(group: Group, channels: int, found: Findings) -> None:
    """Check `omero`, which says how viewers show the channels."""
    omero, place = group.ome.get("omero"), group.place("omero")
    if omero is None:
        return
    listed = omero.get("channels") if isinstance(omero, dict) else None
    if not isinstance(listed, list) or not all(isinstance(c, dict) for c in listed):
        text = f"has the channels {listed!r:.100}, not a list of objects"
        found.problem("bad-omero", place, text, CORRECT)
        return
    if len(listed) != channels:
        text = f"describes {len(listed)} channels; the arrays have {channels}"
        found.problem("bad-omero", place, text, "describe every channel")
    for number, channel in enumerate(listed):
        colour, window = channel.get("color"), channel.get("window")
        if not isinstance(colour, str) or not re.fullmatch(r"[0-9A-Fa-f]{6}", colour):
            text = f"has the colour {colour!r:.50}, not six hexadecimal digits"
            found.problem("bad-omero", f"{place}.channels[{number}]", text, CORRECT)
        names = ("min", "max", "start", "end")
        values = [window.get(name) if isinstance(window, dict) else None for name in names]
        if not all(map(is_number, values)) or not (
            values[0] <= values[1] and values[2] <= values[3]  # type: ignore[operator]
        ):
            text = f"has the window {window!r:.100}: min ≤ max and start ≤ end are needed"
            found.problem("bad-omero", f"{place}.channels[{number}]", text, CORRECT)


def check_labels(group: Group, dtype: str, found: Findings) -> None:
    """Check `image-label`, which makes an image one of labels, as does its place."""
    label, place = group.ome.get("image-label"), group.place("image-label")
    if label is None and group.parent is None:
        return
    if not dtype.startswith(("int", "uint")):
        found.problem("label-type", place, f"{dtype} can't hold labels", "store whole numbers")
    if label is None:
        found.note(f"{place}: is missing; the specification recommends it for labels")
    elif not isinstance(label, dict):
        found.problem("bad-image-label", place, f"is {label!r:.100}, not an object", CORRECT)
    elif fault := _fault_of_values(label, "colors") or _fault_of_values(label, "properties"):
        found.problem("bad-image-label", place, fault, CORRECT)


def _fault_of_values(label: dict[str, Any], field: str) -> str:
    """Return what is wrong with a field's entries per label; empty if nothing is."""
    entries = label.get(field, [])
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        return f"has the {field} {entries!r:.100}, not a list of objects"
    values = [one.get("label-value") for one in entries]
    if not all(map(is_whole, values)) or len(set(values)) < len(values):
        return f"has {field} of the label-values {values!r:.100}: each needs one of its own"
    for rgba in (one["rgba"] for one in entries if field == "colors" and "rgba" in one):
        four = isinstance(rgba, list) and len(rgba) == 4
        if not four or not all(is_whole(v, 0, 255) for v in rgba):
            return f"has the colour {rgba!r:.100}, not four whole numbers from 0 to 255"
    return ""
