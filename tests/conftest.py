"""Settings of all tests."""

from hypothesis import settings

# Timings never gate tests: machines are shared.
settings.register_profile("zblocks", deadline=None)
settings.load_profile("zblocks")
