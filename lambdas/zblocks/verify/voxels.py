"""Are the voxels of coarser scales right, and those of further copies of a scale?"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

import numpy as np

from zblocks.conversion.downsample import Pool, PoolPresent
from zblocks.geometry import Box, Vec, Voxels
from zblocks.planning.plan import Plan
from zblocks.verify.compare import Known, Rule, compare
from zblocks.verify.crew import each
from zblocks.verify.files import UNREADABLE
from zblocks.verify.findings import Findings
from zblocks.verify.spec import WALKED
from zblocks.verify.stored import Stored

COARSER = "made from the scale below it by its rule"


@dataclass(frozen=True, slots=True)
class Sample:
    """Which chunks of a scale to compare."""

    number: int | None = None
    """How many; None: all."""
    seed: int = 0
    """Chooses them."""

    def cells(self, stored: Stored) -> Iterator[Vec]:
        """Walk them, x fastest; of a grid too large to be walked only what is there."""
        scale, chosen = stored.scale, random.Random(self.seed)  # noqa: S311 - no secret
        if scale.count > WALKED:
            there = stored.files.present()
            if self.number is None or self.number >= stored.files.count:
                return there
            picked = set(chosen.sample(range(stored.files.count), self.number))
            some = islice(there, max(picked) + 1)
            return iter(sorted((c for i, c in enumerate(some) if i in picked), key=_order))
        if self.number is None or self.number >= scale.count:
            return scale.cells()
        return map(scale.cell_at, sorted(chosen.sample(range(scale.count), self.number)))


def _order(cell: Vec) -> tuple[int, ...]:
    return cell[::-1]


def check_copies(first: Stored, copy: Stored, sample: Sample, found: Findings) -> None:
    """Hold a copy of a scale, cut in another way, against the first."""
    rule = Rule("copy-differs", "those of the first chunk size", Known.NEARLY)

    def look(cell: Vec) -> None:
        due = first.read_box(copy.scale.chunk_box(cell))
        if due is not None and _compare(copy, cell, due, rule, found):
            found.count("voxels compared with the first copy", due.size // due.shape[3])

    each(look, sample.cells(copy))


def check_scales(
    scales: Sequence[Stored], pool: Pool, plan: Plan | None, sample: Sample, found: Findings
) -> None:
    """Hold every scale against what `pool` makes of the finer one."""
    for number, (finer, coarser) in enumerate(pairwise(scales), 1):
        ratios = [
            c / f for c, f in zip(coarser.scale.resolution, finer.scale.resolution, strict=True)
        ]
        step = Vec(*(round(r) for r in ratios))
        if not set(step) <= {1, 2} or max(abs(r - round(r)) for r in ratios) > 1e-6:
            found.note(f"{coarser.scale.key}: not halves of the scale before it; not compared")
            continue
        rule = _rule(number, plan)

        def look(
            cell: Vec,
            finer: Stored = finer,
            coarser: Stored = coarser,
            step: Vec = step,
            rule: Rule = rule,
        ) -> None:
            box = coarser.scale.chunk_box(cell)
            if (box.refine(step) & finer.scale.box).coarsen(step) != box:
                found.note(f"{coarser.scale.key}: not compared beyond the finer scale")
                return
            due = _pooled(finer, box, step, PoolPresent(pool, finer.absent))
            if due is not None and _compare(coarser, cell, due, rule, found):
                size = due.size // due.shape[3]
                found.count("voxels compared with the finer scale", size, coarser.scale.key)

        each(look, sample.cells(coarser))


def _rule(number: int, plan: Plan | None) -> Rule:
    """Return how a coarser scale is held against the finer one.

    Blocks make scales from voxels that are not encoded yet; the tasks after them read the first of
    theirs back.
    """
    if plan is not None and number in {task.first for task in plan.coarse}:
        return Rule("scale-differs", COARSER, quality=plan.volume.jpeg_quality)
    return Rule("scale-differs", COARSER, Known.NEARLY)


def _pooled(finer: Stored, box: Box, step: Vec, pool: Pool) -> Voxels | None:
    """Return a coarse box (z, y, x, c) as it is made; None where the finer scale can't be read."""
    below = box.refine(step) & finer.scale.box
    fine = finer.read_box(below)
    if fine is None:
        return None
    size = box.shape
    due: Voxels = np.empty((size.z, size.y, size.x, fine.shape[3]), fine.dtype)
    pool(fine, below.start, step, due)
    return due


def _compare(stored: Stored, cell: Vec, due: Voxels, rule: Rule, found: Findings) -> bool:
    """Compare one chunk; tell whether it could be."""
    box = stored.scale.chunk_box(cell)
    try:
        chunk = stored.read(cell)
    except UNREADABLE:
        return False
    if chunk is None and not stored.is_zeros(box):
        return False
    compare(stored, chunk, f"{stored.scale.key}/{box.name}", due, rule, found)
    return True
