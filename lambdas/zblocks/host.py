"""Cores and architecture of this machine, and the memory that this process has used."""

from __future__ import annotations

import os
import platform
import resource
import sys
from pathlib import Path

LAMBDA_VCPU_MB = 1769  # grants one CPU's time; source: AWS, "Configure Lambda function memory"


def cores() -> int:
    """Return how many cores this process may use: on Lambda, as many as its CPU time amounts to.

    Lambda shows more CPUs than it grants time for: three at 3,538 MB, which grants two.
    """
    if memory_mb := os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"):
        return max(round(int(memory_mb) / LAMBDA_VCPU_MB), 1)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def own_cores() -> int:
    """Return how many cores one slice's decoder may use: on a machine, workers use the others."""
    return cores() if "AWS_LAMBDA_FUNCTION_MEMORY_SIZE" in os.environ else 1


def peak_mb() -> int:
    """Return the peak resident memory of this process in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage includes the memory of the parent at the fork
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) >> 10
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak_bytes >> (20 if sys.platform == "darwin" else 10)


def architecture() -> str:
    """Return the machine's architecture as Lambda names it: `arm64` or `x86_64`."""
    return "arm64" if platform.machine().lower() in ("arm64", "aarch64") else "x86_64"
