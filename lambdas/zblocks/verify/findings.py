"""What a check found: problems by kind, notes, and numbers."""

from __future__ import annotations

import threading
from dataclasses import dataclass

KEPT = 1000
"""Problems of one kind that are kept one by one; more are only counted."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    kind: str
    """A stable name."""
    place: str
    """The object, or the field of `info`."""
    message: str
    """What was found there, and what is right."""


class Findings:
    """Collects from many threads."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.notes: list[str] = []
        self.counts: dict[str, int] = {}
        """Problems by kind, those that were not kept, too."""
        self.numbers: dict[str, int] = {}
        """What was looked at: chunks, shards, bytes, voxels."""
        self._lock = threading.Lock()

    def problem(self, kind: str, place: str, message: str) -> None:
        """Note something wrong."""
        with self._lock:
            self.counts[kind] = self.counts.get(kind, 0) + 1
            if self.counts[kind] <= KEPT:
                self.problems.append(Problem(kind, place, message))

    def note(self, text: str) -> None:
        """Note something that isn't wrong but worth a word; each once."""
        with self._lock:
            if text not in self.notes:
                self.notes.append(text)

    def count(self, what: str, number: int = 1) -> None:
        """Count something that was looked at."""
        with self._lock:
            self.numbers[what] = self.numbers.get(what, 0) + number

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.counts
