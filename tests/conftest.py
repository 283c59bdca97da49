"""Settings of all tests."""

import os

import pytest
from hypothesis import settings

# Hundreds of processes are started, and needn't compile everything again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Timings never gate tests: machines are shared.
settings.register_profile("zblocks", deadline=None)
settings.load_profile("zblocks")

TOGETHER = (
    "tests/deployed/", "tests/docs/", "tests/flow/test_damage.py", "tests/flow/test_view.py",
    "tests/flow/test_wheel.py", "tests/stack/",
)  # fmt: skip
"""What shares fixtures that take long: `--dist loadgroup` gives it to one process."""


def pytest_collection_modifyitems(items):
    for item in items:
        if "test_layers.py" in item.nodeid:  # builds them, however many processes there are
            continue
        if group := next((name for name in TOGETHER if item.nodeid.startswith(name)), None):
            item.add_marker(pytest.mark.xdist_group(group))
