"""A reader for the pages that need S3 only; tests/deployed has one with a whole account."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from moto.server import ThreadedMotoServer

from .pages import ROOT, Reader, settle


@pytest.fixture(scope="package")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Who has read docs/first-volume.md, where the other pages go on from."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    env = dict.fromkeys(names, "testing")
    env |= {"AWS_ENDPOINT_URL": f"http://localhost:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    env |= {"AWS_REGION": "us-east-1", "AWS_PAGER": "", "COLUMNS": "200"}
    someone = settle(tmp_path_factory.mktemp("reader") / "zblocks", env)
    someone.follow(ROOT / "docs/first-volume.md")
    yield someone
    server.stop()
