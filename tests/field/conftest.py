"""The command, configs and buckets of the flow tests."""

from tests.flow.conftest import cloud, moto, write_config

__all__ = ["cloud", "moto", "write_config"]
