"""How far a run is: what one display shows of a run here or in the cloud."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class State:
    """One look at a run."""

    phase: str
    """What is being done, in a word or two."""
    blocks: int = 0
    """Of the whole plan; 0 while it is made."""
    done: int = 0
    """Blocks with a receipt, those of earlier runs, too."""
    failed: int = 0
    running: int | None = None
    """None where that isn't known."""
    voxels_done: int = 0
    """Scale 0 voxels converted by this run."""
    voxels_expected: int = 0
    """Scale 0 voxels that this run has to convert."""
    seconds: float = 0.0
    """Since the first block was begun."""
    dollars: float | None = None
    """So far; None where nothing is charged."""
    failures: tuple[str, ...] = ()
    """What failed and why, in the order it happened."""

    @property
    def rate(self) -> float:
        """Voxels a second."""
        return self.voxels_done / max(self.seconds, 1e-3)

    @property
    def eta(self) -> float | None:
        """Seconds until the last block, at the rate so far; None while that isn't known."""
        left = self.voxels_expected - self.voxels_done
        return left / self.rate if self.voxels_done and left > 0 else None

    @property
    def settled(self) -> bool:
        """Whether no block is left to convert."""
        return 0 < self.blocks <= self.done + self.failed


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 99.5 * 60 else f"{seconds / 3600:.1f} h"
