"""Progress of a run, on this machine or in the cloud, as displays show it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class State:
    """The progress of a run at one moment."""

    phase: str  # the current step, in a few words
    blocks: int = 0  # of the whole plan; 0 while it is being made
    done: int = 0  # blocks with a receipt, including those of earlier runs
    failed: int = 0
    running: int | None = None  # None if unknown
    voxels_done: int = 0  # scale 0 voxels converted by this run
    voxels_expected: int = 0  # scale 0 voxels that this run has to convert
    seconds: float = 0.0  # since the first block was begun
    dollars: float | None = None  # cost so far; None where nothing is charged
    failures: tuple[str, ...] = ()  # what failed and why, in the order it happened

    @property
    def rate(self) -> float:
        """Voxels per second."""
        return self.voxels_done / max(self.seconds, 1e-3)

    @property
    def eta(self) -> float | None:
        """Seconds until the last block is done, at the rate so far; None while unknown."""
        left = self.voxels_expected - self.voxels_done
        return left / self.rate if self.voxels_done and left > 0 else None

    @property
    def settled(self) -> bool:
        """Whether no block is left to convert."""
        return 0 < self.blocks <= self.done + self.failed


def duration(seconds: float) -> str:
    """Return seconds as text, such as `5 min`."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 99.5 * 60 else f"{seconds / 3600:.1f} h"
