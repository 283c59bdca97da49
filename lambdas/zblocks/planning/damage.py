"""Damaged slices that are treated as missing, and what an existing volume tells about its slices.

Damage often shows only when a slice is decoded. The slice is then declared missing for all blocks
that read it, so that these agree, and is from there on an ordinary missing slice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

import msgspec

from zblocks.errors import SliceError, several
from zblocks.planning.missing import with_substitutes
from zblocks.planning.plan import FilledSlice, Plan
from zblocks.planning.plan_input import PlanInput
from zblocks.slices.slice_ref import DamagedSlice, SliceRef
from zblocks.slices.transforms.contrast import Contrast

FEW = 10
"""One slice in this many may be replaced without measuring the stack's contrast again."""

File = tuple[str | None, int, str, int]


def declare_missing(
    plan: Plan, slices: Sequence[SliceRef], damaged: Iterable[DamagedSlice]
) -> tuple[Plan, tuple[SliceRef, ...]]:
    """Return a plan and the slices of its stack with damaged slices as missing ones.

    Raises:
        SliceError: no slice is left.
    """
    gone = {d.ref.z: d for d in (*plan.damaged, *damaged)}
    if not gone:
        return plan, tuple(slices)
    refs = [SliceRef(s.z, None) if s.z in gone else s for s in slices]
    if all(s.key is None for s in refs):
        raise SliceError(several([f"{d.ref.key}: {d.why}" for d in gone.values()]))
    filled = {f.z: f for f in plan.filled} | {z: _filled(d) for z, d in gone.items()}
    declared = replace(
        plan,
        filled=tuple(filled[z] for z in sorted(filled)),
        damaged=tuple(gone[z] for z in sorted(gone)),
    )
    return declared, tuple(with_substitutes(refs, plan.missing.policy))


def _filled(damaged: DamagedSlice) -> FilledSlice:
    ref = damaged.ref
    name = PurePosixPath(ref.key or "").name + (f" page {ref.page}" if ref.page else "")
    return FilledSlice(ref.z, name, damaged.why)


def as_known(given: PlanInput, plan: Plan, slices: Sequence[SliceRef] | None = None) -> PlanInput:
    """Return a stack with what is known from a volume that was made of it before.

    Files that were found damaged are still damaged. Percentiles of the whole stack are kept if few
    slices were replaced since, so that these don't change all voxels.

    Args:
        given: the stack.
        plan: of the volume.
        slices: what it was made of; None: few slices were replaced.
    """
    known = {_file(d.ref): d.why for d in plan.damaged} if given.skip_damaged else {}
    damaged = {d.ref.z: d for d in given.damaged}
    for ref in given.slices:
        if ref.key is not None and (why := known.get(_file(ref))):
            damaged[ref.z] = DamagedSlice(ref, why)
    given = replace(given, damaged=tuple(damaged[z] for z in sorted(damaged)))
    before, now = _percentiles(plan), _percentiles(given)
    if before is None or now is None or before == now or not _are_alike(before, now):
        return given
    if slices is not None and not _mostly_same(given, plan, slices):
        return given
    steps = tuple(before if step == now else step for step in given.stack.transforms)
    stack = replace(given.stack, transforms=steps)
    if (stack, given.region) != (plan.stack, plan.region):
        return given  # another volume anyway
    note = f"contrast: stays {before}, as measured before some slices were replaced"
    return replace(given, stack=stack, notes=(*given.notes, note))


def _are_alike(one: Contrast, other: Contrast) -> bool:
    """Return whether only what was measured differs."""
    same = {"low": one.low, "high": one.high, "measured": one.measured}
    return msgspec.structs.replace(other, **same) == one


def _percentiles(stack: Plan | PlanInput) -> Contrast | None:
    steps = (s for s in stack.stack.transforms if isinstance(s, Contrast) and s.percentiles)
    return next(steps, None)


def _mostly_same(given: PlanInput, plan: Plan, slices: Sequence[SliceRef]) -> bool:
    old = {_file(r) for s in slices for r in s.reads}
    old |= {_file(d.ref) for d in plan.damaged}
    new = {_file(s) for s in given.slices if s.key is not None}
    return FEW * max(len(new - old), len(old - new)) <= len(given.slices)


def _file(ref: SliceRef) -> File:
    return ref.key, ref.bytes, ref.etag, ref.page
