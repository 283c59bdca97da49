"""Failures: what a worker leaves behind when it can't do its task."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from zblocks.planning.plan import VERSION

ADVICE = {
    "Sandbox.Timedout": "it ran out of time: raise worker_memory_mb, which buys cores, and deploy",
    "States.Timeout": "it ran out of time: raise worker_memory_mb, which buys cores, and deploy",
    "Runtime.ExitError": "it was killed, mostly for lack of memory: raise worker_memory_mb",
    "Lambda.Unknown": "it ended without a word: look at the function's log",
    "Lambda.TooManyRequestsException": "Lambda was throttled: lower max_concurrency, or ask AWS "
    "for a higher quota of concurrent executions",
    "StorageError": "the store failed again and again: start again later, or lower max_concurrency",
}
"""What to do, by the error's name, where the message doesn't say."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One task that failed."""

    task: str
    z0: int
    z1: int
    """Scale 0 slices [z0, z1) of the task."""
    error: str
    """Name of the error's class, or Lambda's name for how it ended."""
    message: str
    tries: int
    """How often the task has failed, over all runs."""
    version: int = VERSION

    @property
    def line(self) -> str:
        """What happened, and what to do about it, in one line."""
        text = self.message if self.task in self.message else f"{self.task}: {self.message}"
        advice = ADVICE.get(self.error)
        return f"{text} ({advice})" if advice else text

    def to_json(self) -> bytes:
        """Return the document."""
        return msgspec.json.encode(self)

    @classmethod
    def from_json(cls, data: bytes) -> Failure:
        """Read the document back."""
        return msgspec.json.decode(data, type=cls)
