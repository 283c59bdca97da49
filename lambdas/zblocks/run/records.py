"""Records of tasks: the receipt of a finished one, the failure of another, with advice.

A task without a receipt is not done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import msgspec

from zblocks.conversion.chunk_writer import Written
from zblocks.conversion.slice_stats import SliceStats
from zblocks.conversion.tasks import ReadSlice
from zblocks.planning.plan import VERSION
from zblocks.run.job import FAILURES
from zblocks.slices.slice_ref import DamagedSlice
from zblocks.storage import Store


class _Record:
    __slots__ = ()

    def to_json(self) -> bytes:
        """Return the document."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """Read the document back; raises ValueError if it is damaged."""
        found: Self = _DECODERS[cls].decode(data)
        return found


@dataclass(frozen=True, slots=True)
class Receipt(_Record):
    """A finished task; stored after all the objects that it names."""

    layout_id: str  # `Plan.layout_id` of its plan
    task: str  # name of the block or coarse task
    objects: tuple[Written, ...]
    read: tuple[ReadSlice, ...]
    """Slices that were read, in z order, with substitutes in the places of missing slices; empty
    for a coarse task."""
    slices: tuple[SliceStats, ...]  # statistics of the block's own slices, in z order
    seconds: float
    peak_mb: int  # highest resident memory of the worker so far, MiB
    tries: int  # attempts at the task, including this one
    partial: bool = False  # whether its input scale had holes
    retries: int = 0  # of its state in AWS before this attempt: also those that Lambda throttled
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class Finished:
    """What a receipt says about its task, without the names of objects and the statistics."""

    task: str
    objects: int  # number of objects
    bytes: int  # of all objects
    read: tuple[ReadSlice, ...]
    seconds: float
    peak_mb: int
    tries: int
    partial: bool = False
    retries: int = 0

    @classmethod
    def of(cls, receipt: Receipt) -> Self:
        """Return a receipt's summary."""
        return cls(
            task=receipt.task,
            objects=len(receipt.objects),
            bytes=sum(o.bytes for o in receipt.objects),
            read=receipt.read,
            seconds=receipt.seconds,
            peak_mb=receipt.peak_mb,
            tries=receipt.tries,
            partial=receipt.partial,
            retries=receipt.retries,
        )


SLOW = "it ran out of time: raise worker_memory_mb above its own, which buys cores, and deploy"
KILLED = (
    "it was killed, usually for lack of memory: raise worker_memory_mb above its own and deploy; "
    "the function's log says what it used"
)
ADVICE = {
    "Sandbox.Timedout": SLOW,
    "States.Timeout": SLOW,
    "Runtime.OutOfMemory": KILLED,
    "Runtime.ExitError": KILLED,
    "Lambda.Unknown": KILLED,
    "Lambda.TooManyRequestsException": "Lambda had no free function for two weeks: ask AWS for a "
    "higher quota of concurrent executions",
    "StorageError": "the store kept failing: rerun later, or lower max_concurrency",
}
"""Advice by the error's name, for errors whose messages give none."""


def with_advice(error: str, text: str) -> str:
    """Return a text about an error of this name, with what to do if there is advice."""
    advice = ADVICE.get(error)
    return f"{text} ({advice})" if advice else text


@dataclass(frozen=True, slots=True)
class Failure(_Record):
    """One task that failed."""

    task: str
    z0: int
    z1: int  # half-open range of the task's slices, voxels of scale 0
    error: str  # name of the exception's class, or of the error in Lambda or Step Functions
    message: str
    tries: int  # failures of the task so far, over all runs
    damaged: tuple[DamagedSlice, ...] = ()
    """All damaged slices that it reads, where these may be missing."""
    version: int = VERSION

    @property
    def line(self) -> str:
        """What failed and what to do about it, in one line."""
        text = self.message if self.task in self.message else f"{self.task}: {self.message}"
        return with_advice(self.error, text)


# Made here, since msgspec crashes if threads meet a type for the first time together.
_DECODERS: dict[type, msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(kind) for kind in (Receipt, Failure)
}


def read_failures(target: Store) -> list[Failure]:
    """Return the records of all tasks that failed."""
    return [Failure.from_json(target.get(o.key)) for o in target.list(FAILURES)]
