"""What a check found: problems by kind, what could not be checked, notes, and numbers."""

from __future__ import annotations

import threading
from dataclasses import dataclass

KEPT = 1000  # problems of one kind that are kept; more are only counted
REWRITE = "write it again (zblocks: run the config again)"  # what to do about a wrong object


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    kind: str  # a stable name
    place: str  # the object, or the field of `info`
    message: str
    remedy: str


class Findings:
    """What was found, collected from many threads."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.unchecked: list[str] = []  # what could not be checked, and why
        self.notes: list[str] = []
        self.counts: dict[str, int] = {}  # problems by kind, including those that were not kept
        self.numbers: dict[str, int] = {}  # what was checked: chunks, shards, bytes, voxels
        self.scales: dict[str, dict[str, int]] = {}  # the same for each scale, by its key
        self._lock = threading.Lock()

    def problem(self, kind: str, place: str, message: str, remedy: str, times: int = 1) -> None:
        """Note a problem; `times` counts others like it that are not named."""
        with self._lock:
            self.counts[kind] = self.counts.get(kind, 0) + times
            if self.counts[kind] - times < KEPT:
                self.problems.append(Problem(kind, place, message, remedy))

    def cannot(self, text: str) -> None:
        """Note something that could not be checked, once."""
        with self._lock:
            if text not in self.unchecked and len(self.unchecked) < KEPT:
                self.unchecked.append(text)

    def note(self, text: str) -> None:
        """Note something that isn't wrong but worth knowing, once."""
        with self._lock:
            if text not in self.notes:
                self.notes.append(text)

    def count(self, what: str, number: int = 1, scale: str | None = None) -> None:
        """Count something that was checked, for a scale as well if one is named."""
        with self._lock:
            self.numbers[what] = self.numbers.get(what, 0) + number
            if scale is not None:
                of = self.scales.setdefault(scale, {})
                of[what] = of.get(what, 0) + number

    @property
    def problem_count(self) -> int:
        """Number of problems of all kinds."""
        return sum(self.counts.values())

    @property
    def sound(self) -> bool:
        """Whether all was checked and nothing is wrong."""
        return not self.counts and not self.unchecked

    @property
    def code(self) -> int:
        """The exit code: 0 sound, 1 not sound, 2 nothing wrong found but not all checked."""
        return 1 if self.counts else 2 if self.unchecked else 0
