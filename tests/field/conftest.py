"""The command, configs and buckets of the flow tests; and S3 as strict as Amazon's."""

import pytest

from tests.field.guarded import Guard, guarded
from tests.flow.conftest import cloud, moto, write_config

__all__ = ["cloud", "moto", "write_config"]


@pytest.fixture
def front(cloud):
    """A function: an S3 with the rules of `Guard`."""
    opened = []

    def serve(**rules):
        context = guarded(cloud.endpoint, Guard(**rules))
        opened.append(context)
        return context.__enter__()

    yield serve
    for context in opened:
        context.__exit__(None, None, None)
