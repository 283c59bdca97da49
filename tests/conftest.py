"""Settings of all tests."""

import gc
import os

from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

# Hundreds of processes are started, and needn't compile everything again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# Nothing here uses BLAS, whose threads cost each process a third of numpy's import.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Timings never gate tests: machines are shared.
settings.register_profile("zblocks", deadline=None)
settings.load_profile("zblocks")

TOGETHER = (
    "tests/deployed/", "tests/docs/", "tests/flow/test_damage.py", "tests/flow/test_view.py",
    "tests/flow/test_wheel.py", "tests/stack/",
)  # fmt: skip
"""Tests that share fixtures which take long to set up."""


def pytest_collection_finish():
    """Keep what is imported by now, which is most of what there is, out of garbage collections."""
    gc.collect()
    gc.freeze()


class Scheduler(LoadScopeScheduling):
    """Of pytest-xdist's processes, gives one all tests that belong together."""

    def _split_scope(self, nodeid: str) -> str:
        return next((group for group in TOGETHER if nodeid.startswith(group)), nodeid)


def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False  # those that take longest are named first
    return Scheduler(config, log)
