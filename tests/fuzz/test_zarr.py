"""Any documents and bytes are a sound OME-Zarr image, or are called damaged: no other ending."""

from __future__ import annotations

import copy
import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.conftest import TRIED, budget
from tests.fuzz.mutations import changes, damaged
from tests.fuzz.test_parsers import values
from tests.zarr_images import TWO, voxels, write_ours, write_zarr_python
from zblocks.errors import InvalidConfig
from zblocks.geometry import Vec
from zblocks.storage import open_store
from zblocks.verify import VerifyOptions, verify

ODD = st.sampled_from(
    [0, -1, 10**400, 2**53, 1e308, True, None, "", "NaN", "../x", [], {}, [0], [[]], 0.5, "bytes"]
)
LIMIT = 1 << 27  # bytes of memory


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Folders of sound images of Zarr 2, Zarr 3 and shards."""
    root = tmp_path_factory.mktemp("images")
    omero = {
        "channels": [{"color": "FFFFFF", "window": {"min": 0, "max": 9, "start": 0, "end": 9}}]
    }
    write_zarr_python(root / "two", voxels(), version=2, ome={"omero": omero})
    write_zarr_python(root / "three", voxels(), ome={"omero": omero, "image-label": {}})
    write_ours(root / "shards", voxels()[..., None], Vec(1, 2, 3), TWO, levels=2)
    return root


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths to everything in a JSON value."""
    found = [at] if at else []
    inner = value.items() if isinstance(value, dict) else ()
    for name, one in enumerate(value) if isinstance(value, list) else inner:
        found += places(one, (*at, name))
    return found


def put(document: Any, at: tuple[Any, ...], value: Any) -> None:
    """Change a JSON value in one place."""
    *above, last = at
    for name in above:
        document = document[name]
    document[last] = value


def check(folder, name: str) -> None:
    """Verify an image, in bounded memory; count how it ended."""
    tracemalloc.start()
    try:
        found = verify(open_store(folder.as_uri()), VerifyOptions())
        TRIED[f"{name}: {('sound', 'not sound', 'not checked')[found.code]}"] += 1
    except InvalidConfig:
        TRIED[f"{name}: refused"] += 1
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < LIMIT


DOCUMENTS = [
    "two/.zattrs", "two/0/.zarray", "two/1/.zarray", "three/zarr.json", "three/0/zarr.json",
    "three/1/zarr.json", "shards/zarr.json", "shards/0/zarr.json",
]  # fmt: skip


@given(data=st.data())
@budget(400)
def test_documents(images, data):
    name = data.draw(st.sampled_from(DOCUMENTS))
    path = images / name
    whole = path.read_bytes()
    document = copy.deepcopy(json.loads(whole))
    for _ in range(data.draw(st.integers(1, 2))):
        if at := places(document):
            value = copy.deepcopy(data.draw(ODD | values))
            put(document, data.draw(st.sampled_from(at)), value)
    try:
        path.write_text(json.dumps(document))
        check(images / name.split("/")[0], "documents of OME-Zarr")
    finally:
        path.write_bytes(whole)


@given(how=changes, name=st.sampled_from(["shards/0/c/0/0/0", "three/0/c/0/0/0", "two/0/0/0/0"]))
@budget(200)
def test_chunks_and_shards(images, how, name):
    path = images / name
    whole = path.read_bytes()
    try:
        path.write_bytes(damaged(whole, how))
        check(images / name.split("/")[0], "chunks and shards of Zarr")
    finally:
        path.write_bytes(whole)
