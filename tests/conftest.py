"""Settings of all tests."""

import os

from hypothesis import settings

# Hundreds of processes are started, and needn't compile everything again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Timings never gate tests: machines are shared.
settings.register_profile("zblocks", deadline=None)
settings.load_profile("zblocks")
