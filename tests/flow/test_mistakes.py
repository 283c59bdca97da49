"""Common mistakes are answered in plain words: what was found, where, and what to do."""

from __future__ import annotations

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import obstore
import pytest

from tests.flow.conftest import AWS, zblocks
from zblocks.errors import InvalidConfig, StorageError
from zblocks.storage import open_store


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ('{"ext": ".tif"\n "s3_prefix": "a"}', "line 2, column 2: not JSON"),
        ('{"scales": 3 "ext": ""}', "put a comma between the values before and after"),
        ('{"scales": }', 'put a value here: a number, true, false, or text in "double quotes"'),
        ('{"ext": ".tif}', 'end the text that begins here with a double quote: "'),
        ('{"source": "C:\\slices"}', "write / in paths, or two backslashes for each one"),
        ('{"ext": ".tif"}}', "remove what follows the last }"),
        ('{ext: ".tif"}', 'put a name in "double quotes" here'),
        ('{"ext" ".tif"}', "put a colon between the name and its value"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_json(tmp_path, text, advice):
    path = tmp_path / "config.json"
    path.write_text(text)
    done = zblocks("plan", path)
    assert done.code == 2
    assert advice in done.err


def test_a_folder_that_is_not_there(tmp_path, write_config):
    done = zblocks("convert", write_config())
    assert done.code == 2
    assert f"{tmp_path}/in: no such folder; check source and s3_prefix" in done.err


class Elsewhere(BaseHTTPRequestHandler):
    """A store that doesn't say in which region a bucket is, and refuses requests for others."""

    def do_GET(self):
        self.send_response(301)
        self.send_header("x-amz-bucket-region", "eu-west-1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


def test_a_bucket_of_a_region_that_is_not_known(write_config):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    env = {**AWS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}
    done = zblocks("plan", write_config(source="s3://slices/x"), env=env)
    server.shutdown()
    server.server_close()
    assert done.code == 1
    assert "the bucket is in another region, and didn't say in which; rerun" in done.err
    assert "AWS_REGION" not in done.err


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [(28, StorageError, "the disk is full; free some space and rerun"),
     (13, InvalidConfig, "permission denied; ask the folder's owner")],
)  # fmt: skip
def test_a_disk_that_is_full_or_not_ours(tmp_path, monkeypatch, number, kind, words):
    """As the operating system says it, and as obstore does."""

    def fail(*_, **__):
        raise obstore.exceptions.GenericError(f"Generic LocalFileSystem: (os error {number})")

    def refuse(*_):
        raise OSError(number, "Said by the system", "key#1")

    monkeypatch.setattr(obstore, "put", fail)
    monkeypatch.setattr(os, "open", refuse)
    store = open_store(f"file://{tmp_path}/{number}")
    for key in (".key", "key"):
        with pytest.raises(kind, match=words):
            store.put(key, b"data", "text/plain")
