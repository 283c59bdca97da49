"""Checks whether a finished volume is sound; judgement only, reading is done in rooms below."""

from zblocks.verify.findings import Findings, Problem
from zblocks.verify.verify import verify
from zblocks.verify.volume import Source, VerifyOptions

__all__ = ["Findings", "Problem", "Source", "VerifyOptions", "verify"]
