"""Any bytes are a config or an InvalidConfig that shows no key; any lines a list or its error."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.conftest import TRIED, budget
from tests.fuzz.mutations import changes, damaged
from tests.hostile import KEY_ID, SECRET
from zblocks.config import Config, read_object
from zblocks.errors import InvalidConfig, SliceListError
from zblocks.slices.name_list import parse_lines, read_list
from zblocks.slices.order import from_listing, resolve

VALID = {
    "s3_bucket_name_for_download": "slices-of-lab",
    "s3_prefix": "stacks/brain_7/",
    "s3_parts": "_gray",
    "ext": ".jpg",
    "sorted_filename": ["a 0", "Placeholder 1", "b 2"],
    "s3_bucket_name_for_upload": "volumes",
    "s3_dir_to_write_to": "brain",
    "voxel_resolution": [3680, 3680, 20000],
    "voxel_offset": [0, -5, 3],
    "chunk_size": [64, 64, 64],
    "scales": 5,
    "fill_value": 0,
    "overwrite": True,
    "source_role": "arn:aws:iam::111122223333:role/slices",
}
NUMBERS = [0, -1, 2**63, 2**31, 10**400, 1e308, 5e-324, -0.0, float("nan"), float("inf"), True]
PLANTED = (KEY_ID, SECRET, "hush-hush")

texts = st.text(max_size=20) | st.sampled_from(
    ["..", "s3://b/../c", "file:///", "s3://", "\x1b[2J", "\ud800", "a" * 5000, "://", "%00"]
)
leaves = st.none() | st.booleans() | st.sampled_from(NUMBERS) | st.integers() | st.floats() | texts
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from([*Config.model_json_schema()["properties"]]) | texts


def parse(data: bytes) -> str:
    """Parse as both shells do; return the message, or nothing where it is a config."""
    try:
        config = Config.parse(read_object(data, "config.json"), base=None)
        config.for_cloud()
    except InvalidConfig as error:
        return str(error)
    return ""


@budget(1500)
@given(st.dictionaries(fields, values, max_size=5), changes | st.just([]))
def test_configs(change, how):
    data = damaged(json.dumps({**VALID, **change}).encode(), how)
    message = parse(data)
    TRIED[f"configs {'refused' if message else 'taken'}"] += 1
    assert len(message) < 20_000


def _plant(where: str, key: str, change: dict[str, object]) -> dict[str, object]:
    """Put a key in a place of a config."""
    name = {SECRET: "x", KEY_ID: "y"}.get(key, "secret_key")
    place = {"value": key, "list": [1, [key]], "name": {key: 1}, "field": {name: key}}[where]
    return {**change, "s3_parts" if name != "secret_key" else "access_token": place}


@budget(300)
@given(
    st.dictionaries(fields, values, max_size=3),
    st.sampled_from(["value", "list", "name", "field"]),
    st.sampled_from(PLANTED),
)
def test_no_message_shows_a_key(change, where, key):
    message = parse(json.dumps({**VALID, **_plant(where, key, change)}).encode())
    TRIED["configs with a key"] += 1
    assert "(not shown)" in message
    assert key not in message or (where == "name" and key == "hush-hush")


LIST = b"Brain 7_001 12\r\nPlaceholder_x 13\nBrain 7_003 15\n\nsub/Brain 9 16\n"
lines = st.lists(
    st.tuples(st.text(max_size=12), st.sampled_from([0, 1, 2, 9, 10**7, 10**12, -1])).map(
        lambda pair: f"{pair[0]} {pair[1]}"
    )
    | st.text(max_size=30),
    max_size=12,
)


@budget(800)
@given(lines | changes.map(lambda how: damaged(LIST, how).decode(errors="replace").split("\n")))
def test_lists(given_lines):
    try:
        entries = parse_lines(given_lines, "names.txt")
        keys = {e.index: (f"p/{e.name}.tif",) for e in entries}
        there = {key for some in list(keys.values())[::2] for key in some}
        slots = resolve(entries, lambda e: keys[e.index], there, "fill")
    except SliceListError:
        TRIED["lists refused"] += 1
        return
    TRIED["lists taken"] += 1
    assert [slot.z for slot in slots] == list(range(len(slots)))
    assert len(slots) <= 10 * len(entries) + 1000
    for entry in entries:
        assert entry.name is None or ".." not in entry.name.split("/")


FORMATS = (
    b'name,index\n"a b,c",3\n,4\nd,6\n',
    b"z\tfile\tnote\n3\ta\tx\n4\tb\t\n",
    b'["a", null, "c"]',
    b'[["a", 3], [null, 4], ["d", 6]]',
    b'[{"name": "a", "index": 3}, {"index": 4, "name": null}]',
)
"""Lists in formats other than the 2019 script's."""


@budget(800)
@given(
    st.tuples(st.sampled_from(FORMATS), changes).map(lambda pair: damaged(*pair))
    | values.map(lambda value: f"[{json.dumps(value)}]".encode())
    | lines.map(lambda some: "\n".join(["name,index", *some]).encode(errors="replace"))
)
def test_lists_in_other_formats(data):
    text = data.decode(errors="replace")
    try:
        entries = read_list(text.split("\n"), "names.csv")
    except SliceListError:
        TRIED["lists in other formats refused"] += 1
        return
    TRIED["lists in other formats taken"] += 1
    assert entries
    assert len({e.index for e in entries}) == len(entries)
    for entry in entries:
        assert 0 <= entry.index <= 10**7
        assert entry.name is None or ".." not in entry.name.split("/")


@budget(400)
@given(lines)
def test_lines_with_an_index_are_the_seeds(some):
    given_lines = ["name,index 1", *some]
    try:
        due = parse_lines(given_lines, "names.txt")
    except SliceListError as error:
        TRIED["pair lists refused"] += 1
        with pytest.raises(SliceListError, match=re.escape(str(error))):
            read_list(given_lines, "names.txt")
        return
    TRIED["pair lists taken"] += 1
    assert read_list(given_lines, "names.txt") == due


@budget(400)
@given(st.lists(st.text(min_size=1, max_size=20), max_size=10))
def test_listings(keys):
    try:
        slots, _ = from_listing(keys, "fill")
    except SliceListError:
        TRIED["listings refused"] += 1
        return
    TRIED["listings taken"] += 1
    assert {slot.key for slot in slots if slot.key} == set(keys)
