"""Looks for all damaged slices of a block, once one was met."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from zblocks.conversion.bands import read_bands
from zblocks.errors import SliceError
from zblocks.host import cores
from zblocks.planning.memory import DECODERS
from zblocks.planning.plan import Plan
from zblocks.slices.slice_ref import DamagedSlice, SliceRef
from zblocks.storage import Store


class DamagedSlices(SliceError):  # noqa: N818 - names what was found
    """Slices of a block are damaged, and may be missing: it has to be converted without them."""

    found: tuple[DamagedSlice, ...] = ()


def find_damaged(plan: Plan, source: Store, slices: Iterable[SliceRef]) -> tuple[DamagedSlice, ...]:
    """Decode every file that is read for `slices`, as a block does, and return the damaged ones.

    Raises ZblocksError: a file can't be read for another reason.
    """
    refs = {r.z: r for s in slices for r in s.reads}

    def damage(ref: SliceRef) -> str:
        try:
            with ThreadPoolExecutor(1) as pool:
                for _ in read_bands(plan, source, (ref,), pool):
                    pass
        except SliceError as error:
            if not error.damage:
                raise
            return error.damage
        return ""

    with ThreadPoolExecutor(max(cores(), DECODERS)) as pool:
        whys = pool.map(damage, refs.values())
        return tuple(
            DamagedSlice(r, why) for r, why in zip(refs.values(), whys, strict=True) if why
        )
