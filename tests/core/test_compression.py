"""Content-Encodings: each undone, bounded, and held to its end."""

from __future__ import annotations

import gzip
import sys
import tracemalloc

import brotli
import pytest
import zstandard

from zblocks.compression import MissingDecoderError, compress, decompress

DATA = bytes(range(256)) * 40
PACK = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstandard.compress}


@pytest.mark.parametrize("name", PACK)
@pytest.mark.parametrize("limit", [len(DATA), len(DATA) + 1, 1 << 20])
def test_what_was_packed_comes_back(name, limit):
    assert decompress(PACK[name](DATA), name, limit) == DATA
    assert decompress(PACK[name](DATA), f" {name.upper()}", limit) == DATA
    assert decompress(PACK[name](b""), name, limit) == b""


def test_nothing_to_undo_and_another_name():
    assert decompress(DATA, "", 1) == DATA
    assert decompress(DATA, "identity", 1) == DATA
    assert decompress(gzip.compress(DATA), "x-gzip", len(DATA)) == DATA


@pytest.mark.parametrize("name", PACK)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d[:-1],
        lambda d: d[: len(d) // 2],
        lambda d: d + b"more",
        lambda d: d + d,
        lambda _: b"",
        lambda _: DATA,
    ],
)
def test_anything_else_is_refused(name, spoil):
    with pytest.raises(ValueError, match=r"."):
        decompress(spoil(PACK[name](DATA)), name, 1 << 20)


@pytest.mark.parametrize("name", PACK)
def test_one_byte_more_than_the_limit_is_refused(name):
    with pytest.raises(ValueError, match="more than"):
        decompress(PACK[name](DATA), name, len(DATA) - 1)


@pytest.mark.parametrize("name", PACK)
def test_a_bomb_is_not_decompressed(name):
    bomb = PACK[name](bytes(1 << 26))
    tracemalloc.start()
    with pytest.raises(ValueError, match="more than"):
        decompress(bomb, name, 1 << 16)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 23


@pytest.mark.parametrize(
    "name", ["deflate", "none", "aws-chunked", "gzip,gzip", "aws-chunked,gzip"]
)
def test_what_readers_do_not_undo_is_refused(name):
    with pytest.raises(ValueError, match="Content-Encoding"):
        decompress(gzip.compress(DATA), name, 1 << 20)


def test_a_missing_decoder_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "brotli", None)
    with pytest.raises(MissingDecoderError, match="br"):
        decompress(PACK["br"](DATA), "br", 1 << 20)


@pytest.mark.parametrize("name", PACK)
def test_what_is_compressed_comes_back(name):
    assert decompress(bytes(compress(DATA, name)), name, len(DATA)) == DATA
