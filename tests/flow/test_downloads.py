"""What the demo and the tests download is downloaded once, whoever asks together."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from demo.downloads import download_once


def test_those_who_ask_together_get_one_complete_download(tmp_path):
    begun, finish = threading.Event(), threading.Event()
    calls = []

    def download(into):
        calls.append(into)
        (into / "first").write_text("1")
        begun.set()
        assert finish.wait(60)
        (into / "second").write_text("2")

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(download_once, tmp_path / "cache/it", download)
        assert begun.wait(60)
        assert not (tmp_path / "cache/it").exists()
        other = pool.submit(download_once, tmp_path / "cache/it", download)
        finish.set()
        for got in (one.result(60), other.result(60)):
            assert sorted(path.name for path in got.iterdir()) == ["first", "second"]
    assert len(calls) == 1


def test_a_download_that_fails_leaves_nothing_and_the_next_one_works(tmp_path):
    def broken(into):
        (into / "half").write_text("1")
        raise OSError("the line is down")

    with pytest.raises(OSError, match="line is down"):
        download_once(tmp_path / "it", broken)
    got = download_once(tmp_path / "it", lambda into: (into / "whole").write_text("1"))
    assert [path.name for path in got.iterdir()] == ["whole"]
