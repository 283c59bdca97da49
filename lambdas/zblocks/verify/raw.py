"""One chunk's bytes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Raw:
    """A chunk, unpacked, and the object it came from."""

    place: str
    data: bytes
