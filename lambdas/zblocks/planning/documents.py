"""The documents of a plan in `.zblocks/`: the plan, its slices, and the tasks of its stages.

The slices are apart from the plan, and each record of them is as long as the others, so that a
block's worker reads its own, by their place, of thousands.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

from zblocks.errors import DestinationConflict
from zblocks.geometry import Span
from zblocks.planning.plan import VERSION, BlockTask, Plan
from zblocks.slices.slice_ref import SliceRef

Kind = Literal["block", "coarse"]


def plan_to_json(plan: Plan) -> bytes:
    """Return the document `plan.json`."""
    return json.dumps({"version": VERSION, **msgspec.to_builtins(plan)}, indent=1).encode()


def plan_from_json(data: bytes) -> Plan:
    """Read `plan.json`.

    Raises:
        DestinationConflict: another version of zblocks wrote it.
        ValueError: it is damaged.
    """
    document: dict[str, Any] = json.loads(data)
    if (version := document["version"]) != VERSION:
        msg = (
            f"the plan there was written by another version of zblocks (format {version}, this one "
            f'uses {VERSION}); choose another destination, or set "overwrite": true to replace the '
            "volume"
        )
        raise DestinationConflict(msg)
    return msgspec.convert(document, Plan)


def stack_slices(tasks: Iterable[BlockTask]) -> tuple[SliceRef, ...]:
    """Return the slices that blocks read, each once, in z order."""
    layers = {id(t.slices): t.slices for t in tasks}  # those of a layer share theirs
    return tuple(sorted({s for slices in layers.values() for s in slices}, key=lambda s: s.z))


def slices_to_json(slices: Sequence[SliceRef]) -> bytes:
    """Return the document `slices.json`: a line of the same length for each slice, in z order."""
    records = [msgspec.json.encode(each) for each in slices]
    longest = max(map(len, records))
    return b"[" + b",\n".join(each.ljust(longest) for each in records) + b"]\n"


def slices_from_json(data: bytes) -> tuple[SliceRef, ...]:
    """Read `slices.json`."""
    return msgspec.json.decode(data, type=tuple[SliceRef, ...])


def bytes_of_slices(size: int, count: int, wanted: Span) -> tuple[int, int]:
    """Return where some of `count` slices are in `slices.json` of `size` bytes: start, length."""
    record, (first, last) = (size - 1) // count, wanted
    return 1 + first * record, (last - first) * record


def slices_from_bytes(part: bytes) -> tuple[SliceRef, ...]:
    """Read some slices of `slices.json`, as found with `bytes_of_slices`."""
    return slices_from_json(b"[" + part[:-2] + b"]")  # without what follows the last: `,` or `]`


def stage_to_json(kind: Kind, indices: Iterable[int]) -> bytes:
    """Return the document of a stage's tasks: an item of the Step Functions map for each."""
    return msgspec.json.encode([{kind: index} for index in indices])


def stage_from_json(data: bytes) -> tuple[int, ...]:
    """Return the indices of the tasks of a stage."""
    return tuple(index for item in json.loads(data) for index in item.values())
