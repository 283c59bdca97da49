"""Checks whether a finished volume is sound; judgement only, reading is `precomputed`'s."""

from zblocks.verify.findings import Findings, Problem
from zblocks.verify.verify import Source, VerifyOptions, verify

__all__ = ["Findings", "Problem", "Source", "VerifyOptions", "verify"]
