"""Checks the OME-Zarr images at a store's root: documents first, then objects and voxels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from zblocks.outputs.scales import OME_ZARR
from zblocks.outputs.volumes import About, Output
from zblocks.planning.plan import Plan
from zblocks.precomputed.scale import Volume, scale_key
from zblocks.storage import Store
from zblocks.verify.chunks import CheckedScale, check_chunks
from zblocks.verify.documents import (
    RERUN,
    Differing,
    ZblocksMetadata,
    differences,
    read_document,
    report_differences,
)
from zblocks.verify.findings import Findings
from zblocks.verify.volume import VolumeCheck, check_cover
from zblocks.verify.zarr.arrays import StoredLevel, read_levels
from zblocks.verify.zarr.image import check_channels, check_image, check_labels
from zblocks.verify.zarr.nodes import Group, find_images
from zblocks.verify.zarr.objects import check_objects


def check_zarr(check: VolumeCheck, zarr: int) -> None:
    """Check every image; only the first is compared with slices, and may be what zblocks made.

    Raises InvalidConfig: there is an array and no image.
    """
    for number, group in enumerate(find_images(check.store, zarr, check.found)):
        outputs = check.metadata.plan.outputs if check.metadata.plan else ()
        output = next((o for o in outputs if o.name == OME_ZARR and not number), None)
        one = check
        if output is None and "zblocks" not in group.attributes:
            one = replace(check, metadata=ZblocksMetadata(made_by_zblocks=False))
        elif not check.metadata.made_by_zblocks:
            one = replace(check, metadata=replace(check.metadata, made_by_zblocks=True))
        one = replace(one, slices=None if number else check.slices)
        for image in check_image(group, check.found):
            levels = read_levels(check.store, zarr, image, check.found)
            if levels:
                _Image(one, group, levels).check_all()
        if output is not None:
            _compare_arrays(check.store, output, check.found)


@dataclass(frozen=True, slots=True)
class _Image:
    """An image whose documents can be used."""

    check: VolumeCheck
    group: Group
    levels: Sequence[StoredLevel]

    def check_all(self) -> None:
        check, found = self.check, self.check.found
        scales = tuple(level.scale for level in self.levels)
        volume = Volume(self._layer(), scales)
        check_channels(self.group, volume.format.channels, found)
        check_labels(self.group, volume.format.dtype, found)
        if check.metadata.made_by_zblocks:
            _check_grid(self.levels, found)
            check_cover(volume, found)
        if check.metadata.plan:
            _compare_plan(self.levels, check.metadata.plan, found)
        store = check.store
        listings = {
            s.key: {o.key[len(s.key) + 1 :]: o.bytes for o in store.list(s.key)} for s in scales
        }
        checked = [self._check_level(level, listings[level.scale.key]) for level in self.levels]
        check.compare(volume, checked, listings)

    def _layer(self) -> str:
        """Return the image's layer type; if it states none, that of the slices, or `image`."""
        if "image-label" in self.group.ome:
            return "segmentation"
        plan = self.check.slices.plan if self.check.slices else None
        if plan and not self.check.metadata.made_by_zblocks:
            return plan.volume.layer
        return "image"

    def _check_level(self, level: StoredLevel, listing: dict[str, int]) -> CheckedScale:
        found, scale, ours = self.check.found, level.scale, self.check.metadata.made_by_zblocks
        found.count("bytes", sum(listing.values()), scale.key)
        present = check_objects(self.check.store, level, listing, found)
        checked = self.check.scale(present, self.levels[0].scale, scale_key(scale.resolution))
        allowed = checked.allow_holes or not ours
        checked = replace(checked, fill=level.array.fill, allow_holes=allowed)
        check_chunks(checked, found)
        absent = scale.chunks - present.count
        if absent and not ours:
            text = f"{absent} of {scale.chunks} chunks are absent, which readers take as "
            found.note(f"{scale.key}: {text}{level.array.fill}")
        return checked


def _check_grid(levels: Sequence[StoredLevel], found: Findings) -> None:
    """Check that every level begins at a whole number of its voxels, as zblocks makes scales."""
    for one in levels:
        if not one.is_on_grid:
            text = f"begins at {list(one.level.edge)} nm, between two of its voxels"
            found.problem("scale-misplaced", one.level.path, text, "correct its translation")


def _compare_plan(levels: Sequence[StoredLevel], plan: Plan, found: Findings) -> None:
    """Compare levels with the scales that the plan makes."""
    for number, expected in enumerate(plan.scales):
        place = f"level {number}"
        if number >= len(levels):
            text = f"is missing where the plan says {expected.key!r}"
            found.problem("plan-differs", place, text, RERUN)
            continue
        scale = levels[number].scale
        for name, is_, planned in (
            ("resolution", scale_key(scale.resolution), scale_key(expected.resolution)),
            ("voxels", scale.box.name, expected.box.name),
        ):
            if is_ != planned:
                text = f"has the {name} {is_} where the plan says {planned}"
                found.problem("plan-differs", scale.key, text, RERUN)


def _compare_arrays(store: Store, output: Output, found: Findings) -> None:
    """Compare the documents of arrays with those that the plan makes."""
    for key, planned in output.documents(About("", (None,), "")):
        document = read_document(store, key, "array-not-json", Findings())
        if key != output.root and document is not None:
            differing = differences(document, json.loads(planned))
            report_differences(differing, Differing("plan-differs", key), found)
