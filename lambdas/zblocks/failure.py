"""What a worker leaves behind when it can't do its task."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from zblocks.plan import VERSION


@dataclass(frozen=True, slots=True)
class Failure:
    """One task that failed."""

    task: str
    z0: int
    z1: int
    """Scale 0 slices [z0, z1) of the task."""
    error: str
    """Name of the error's class."""
    message: str

    def to_json(self) -> bytes:
        """Return the document."""
        return json.dumps({"version": VERSION, **asdict(self)}).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Failure:
        """Read the document back."""
        document = json.loads(data)
        document.pop("version")
        return cls(**document)
