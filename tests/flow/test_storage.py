"""One behaviour of the seam, over every store there is."""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from tests.chaos.proxy import Weather, failing
from zblocks.errors import InvalidConfig, SourceChanged, StorageError
from zblocks.storage import StoredFile, open_store


@pytest.fixture(params=["file", "s3"])
def store(request, tmp_path):
    if request.param == "file":
        return open_store(f"file://{tmp_path}/a%20b/c")
    request.getfixturevalue("cloud")
    return open_store(f"s3://volumes/{tmp_path.name}")


def test_put_get_head_list_delete(store):
    assert list(store.list()) == []
    assert store.head("a/b") is None
    store.put_json("a/b", b"12345")
    store.put_json("a/c/d", b"1")
    assert store.get("a/b") == b"12345"
    assert store.head("a/b").bytes == 5
    assert {o.key for o in store.list()} == {"a/b", "a/c/d"}
    assert {o.key for o in store.list("a/c")} == {"a/c/d"}
    objects, folders = store.list_folder("a")
    assert ([o.key for o in objects], folders) == (["a/b"], ["a/c"])
    store.delete(["a/b", "never", "a/c/d"])
    assert list(store.list()) == []


@pytest.mark.parametrize("key", ["new/folder/chunk", ".new/folder/chunk"])
def test_an_object_in_parts(store, key):
    """Of names that a folder writes itself, or leaves to obstore; it replaces what is there."""
    tag = store.put(key, b"older", "application/octet-stream")
    assert tag == store.head(key).etag
    many = [b"%d " % n for n in range(2000)]
    tag = store.put(key, [b"", memoryview(b"voxels"), *many], "application/octet-stream")
    assert store.get(key) == b"voxels" + b"".join(many)
    assert tag == store.head(key).etag
    assert [o.key for o in store.list()] == [key]


def test_a_file_is_there_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    """A killed writer leaves a name that is no object; one that fails leaves nothing."""
    store = open_store(f"file://{tmp_path}")
    store.put("chunk", b"older", "application/octet-stream")
    (tmp_path / "chunk#1").write_bytes(b"of a killed writer")
    store.put("chunk", b"newer", "application/octet-stream")
    assert [o.key for o in store.list()] == ["chunk"]
    write, seen = os.write, []

    def fill_up(file, data):
        seen.append((tmp_path / "chunk").read_bytes())
        if len(seen) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(file, data[:3])

    monkeypatch.setattr(os, "write", fill_up)
    with pytest.raises(StorageError, match="chunk: the disk is full"):
        store.put("chunk", b"newest of all", "application/octet-stream")
    assert seen == [b"newer"] * 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["chunk", "chunk#1"]
    assert store.get("chunk") == b"newer"
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:3]))
    store.put("chunk", b"newest of all", "application/octet-stream")
    assert store.get("chunk") == b"newest of all"


def test_a_missing_object_is_a_missing_file(store):
    with pytest.raises(FileNotFoundError):
        store.get("nothing")


def test_put_if_absent_writes_once(store):
    assert store.put_if_absent("mark", b"1")
    assert not store.put_if_absent("mark", b"2")
    assert store.get("mark") == b"1"


def test_gzip_is_a_side_file_in_a_folder_and_a_header_in_a_bucket(store):
    store.put("chunk", b"zip", "application/octet-stream", "gzip")
    name = "chunk.gz" if store.local else "chunk"
    assert [o.key for o in store.list()] == [name]
    assert store.stored_name("chunk", "gzip") == name


class Conflicts(Weather):
    """Answers 409 to the first writes."""

    def __init__(self, code, times):
        super().__init__(0, 0.0)
        self.code, self.left = code, times

    def next_fault(self, method):
        self.left -= method in ("PUT", "POST")
        return self.code if self.left >= 0 and method in ("PUT", "POST") else ""


@pytest.fixture
def conflicts(cloud, monkeypatch):
    """A function: a bucket that answers 409 to the first writes; nobody waits between tries."""
    monkeypatch.setattr("zblocks.storage.store.time.sleep", lambda _: None)
    with ExitStack() as stack:

        def store(times, code="ConditionalRequestConflict"):
            address = stack.enter_context(failing(cloud.endpoint, Conflicts(code, times)))
            monkeypatch.setenv("AWS_ENDPOINT_URL", address)
            return open_store(f"s3://volumes/{urlsplit(address).port}")

        yield store


@pytest.mark.parametrize("times", [0, 1, 7, 20])
@pytest.mark.parametrize("there", [None, b"theirs", b"ours"], ids=str)
def test_a_conflict_of_a_conditional_create_is_asked_again(conflicts, cloud, times, there):
    """S3's 409 means "try again", its 412 "it is there"; an object of ours counts as written."""
    store = conflicts(times)
    if there:
        cloud.put("volumes", f"{store.url.rpartition('/')[2]}/mark", there)
    assert store.put_if_absent("mark", b"ours") == (there != b"theirs")
    assert store.get("mark") == (there or b"ours")


@pytest.mark.parametrize("times", [1, 7])
def test_a_conflict_of_a_conditional_replacement_is_asked_again(conflicts, cloud, times):
    store = conflicts(times)
    cloud.put("volumes", f"{store.url.rpartition('/')[2]}/mark", b"1")
    etag = store.head("mark").etag
    assert store.put_if_unchanged("mark", b"2", etag)
    assert not store.put_if_unchanged("mark", b"3", etag)
    assert store.get("mark") == b"2"


def test_a_conflict_of_any_other_write_is_asked_again(conflicts):
    store = conflicts(3, "OperationAborted")
    store.put_json("a", b"1")
    assert store.get("a") == b"1"
    store = conflicts(4, "OperationAborted")
    store.delete(["a"])
    assert store.head("a") is None


def test_keys_that_s3_refuses_to_delete_are_deleted_again(conflicts, cloud):
    store = conflicts(2, "keys refused")
    folder = store.url.rpartition("/")[2]
    for key in ("a", "b"):
        cloud.put("volumes", f"{folder}/{key}", b"1")
    store.delete(["a", "b"])
    assert list(store.list()) == []


def test_any_number_of_objects_is_deleted(store):
    keys = [f"scale/{number:04d}" for number in range(2100)]
    for key in keys[::5]:
        store.put_json(key, b"1")
    store.delete(key for key in keys if not key.endswith("00"))
    assert sorted(o.key for o in store.list()) == [key for key in keys if key.endswith("00")]


def test_a_listing_begins_after_any_name(store):
    for name in ("0-64_0-64_0-8", "0-64_64-128_0-8", "128-192_0-64_0-8", "64-128_0-64_0-8"):
        store.put_json(f"scale/{name}", b"1")
    found = sorted(o.key for o in store.list("scale", "scale/0-64_64-128_"))
    names = ("0-64_64-128_0-8", "128-192_0-64_0-8", "64-128_0-64_0-8")
    assert found == [f"scale/{name}" for name in names]


def test_conflicts_without_end_are_the_stores_failure(conflicts):
    with pytest.raises(StorageError, match=r"mark: the store failed after retries: .*409 Conflict"):
        conflicts(10**6).put_if_absent("mark", b"1")


@pytest.mark.parametrize("key", ["with space", "ä#%?&=+é", "a.b-c_d~(1)*'!"])
def test_odd_names_stay_as_they_are(store, key):
    store.put_json(key, b"x")
    assert store.get(key) == b"x"
    assert [o.key for o in store.list()] == [key]


def test_a_stored_file_reads_ranges_of_the_version_it_knows(store):
    store.put_json("slice", bytes(range(200)))
    meta = store.head("slice")
    file = StoredFile(store, "slice", meta.bytes, meta.etag, ahead=50)
    assert file.read_at(0, 10) == bytes(range(10))
    assert file.read_at(5, 20) == bytes(range(5, 25))
    assert file.read_at(190, 99) == bytes(range(190, 200))
    assert file.read_at(200, 1) == b""
    store.put_json("slice", b"another")
    with pytest.raises(SourceChanged, match="slice: changed since the plan"):
        file.read_at(100, 10)
    store.delete(["slice"])
    with pytest.raises(SourceChanged, match="slice: deleted since the plan"):
        file.read_at(100, 10)


def test_a_place_of_another_kind(store):
    with pytest.raises(InvalidConfig, match="gs://x/y: not a supported location"):
        open_store("gs://x/y")


def test_a_path_that_no_store_has(store):
    with pytest.raises(InvalidConfig, match="a//b: not a valid object name"):
        store.get("a//b")
