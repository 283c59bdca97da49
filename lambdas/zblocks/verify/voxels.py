"""Are the voxels of coarser scales right, and those of further copies of a scale?"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np

from zblocks.conversion.downsample import Downsample, DownsamplePresent
from zblocks.geometry import Box, Vec, Voxels
from zblocks.planning.plan import Plan
from zblocks.precomputed.scale import Scale
from zblocks.verify.chunks import WALKED, CheckedScale
from zblocks.verify.compare import Known, Rule, compare
from zblocks.verify.findings import Findings
from zblocks.verify.parallel import for_each

COARSER = "what the finer scale makes"


@dataclass(frozen=True, slots=True)
class Sample:
    """Which chunks of a scale to compare."""

    number: int | None = None
    """How many; None: all."""
    seed: int = 0
    """Chooses them."""

    def cells(self, checked: CheckedScale) -> Iterator[Vec]:
        """Walk them, x fastest; of a grid too large to be walked, those present in any order."""
        scale, present = checked.scale, checked.present
        chosen = random.Random(self.seed)  # noqa: S311 - not a secret
        if scale.chunks > WALKED:
            if self.number is None:
                return present.cells()
            count = min(self.number, present.count)
            picked = set(chosen.sample(range(present.count), count))
            some = islice(present.cells(), max(picked, default=-1) + 1)
            return iter(sorted((c for i, c in enumerate(some) if i in picked), key=_order))
        if self.number is None or self.number >= scale.chunks:
            return scale.cells()
        return map(scale.cell_at, sorted(chosen.sample(range(scale.chunks), self.number)))


def _order(cell: Vec) -> tuple[int, ...]:
    return cell[::-1]


def check_copy(first: CheckedScale, copy: CheckedScale, sample: Sample, found: Findings) -> None:
    """Compare a copy of a scale, cut in another way, with the first."""
    rule = Rule("copy-differs", "the first chunk size's voxels", Known.NEARLY)

    def check(cell: Vec) -> None:
        expected = first.read_box(copy.scale.chunk_box(cell))
        if expected is not None and compare(copy, cell, expected, rule, found):
            found.count("voxels compared with the first copy", expected[..., 0].size)

    for_each(check, sample.cells(copy))


@dataclass(frozen=True, slots=True)
class ScaleCheck:
    """How scales are compared with the finer ones."""

    downsample: Downsample
    """How coarser scales are made."""
    plan: Plan | None
    """The plan that made them, if it is known."""
    sample: Sample
    found: Findings

    def check(self, scales: Sequence[CheckedScale]) -> None:
        """Compare every scale with what is made of the finer one."""
        for number, (finer, coarser) in enumerate(pairwise(scales), 1):
            step = _step(finer.scale, coarser.scale)
            if step is None:
                key = coarser.scale.key
                self.found.note(f"{key}: not halves of the scale before it; not compared")
            else:
                self._check_scale(finer, coarser, step, self._rule(number))

    def _check_scale(
        self, finer: CheckedScale, coarser: CheckedScale, step: Vec, rule: Rule
    ) -> None:
        scale, found = coarser.scale, self.found
        downsample = DownsamplePresent(self.downsample, finer.absent)

        def check(cell: Vec) -> None:
            box = scale.chunk_box(cell)
            if (box.refine(step) & finer.scale.box).coarsen(step) != box:
                found.note(f"{scale.key}: not compared beyond the finer scale")
                return
            expected = _downsampled(finer, box, step, downsample)
            if expected is not None and compare(coarser, cell, expected, rule, found):
                found.count("voxels compared with the finer scale", box.voxels, scale.key)

        for_each(check, self.sample.cells(coarser))

    def _rule(self, number: int) -> Rule:
        """Return how a coarser scale is compared with the finer one.

        Blocks make scales from voxels that are not encoded yet; the tasks after them read the first
        of theirs back.
        """
        plan = self.plan
        if plan is not None and number in {task.first for task in plan.coarse}:
            return Rule("scale-differs", COARSER, quality=plan.volume.format.jpeg_quality)
        return Rule("scale-differs", COARSER, Known.NEARLY)


def _step(finer: Scale, coarser: Scale) -> Vec | None:
    """Return fine voxels per coarse voxel, 1 or 2 along each axis; None for any other ratio."""
    ratios = [c / f for c, f in zip(coarser.resolution, finer.resolution, strict=True)]
    step = Vec(*(round(r) for r in ratios))
    exact = set(step) <= {1, 2} and max(abs(r - round(r)) for r in ratios) <= 1e-6
    return step if exact else None


def _downsampled(finer: CheckedScale, box: Box, step: Vec, downsample: Downsample) -> Voxels | None:
    """Return a coarse box (z, y, x, c) as it is made; None where the finer scale can't be read."""
    below = box.refine(step) & finer.scale.box
    fine = finer.read_box(below)
    if fine is None:
        return None
    size = box.shape
    expected: Voxels = np.empty((size.z, size.y, size.x, fine.shape[3]), fine.dtype)
    downsample(fine, below.start, step, expected)
    return expected
