"""The README says what is so."""

from __future__ import annotations

import json
import re

import jsonschema

from tests.formats.outputs import ENCODINGS
from tests.formats.registry import INPUTS
from tests.formats.table import FORMATS, kinds_of
from tests.readme_table import BEGIN, FORMATS_BEGIN, README, SCHEMA, schema, with_tables
from zblocks.config import Config


def test_the_table_of_fields_is_the_configs_own():
    text = README.read_text()
    assert text == with_tables(text)
    assert "`voxel_resolution`" in text


def test_the_table_of_formats_is_the_registries_own():
    text = README.read_text()
    for begin in (BEGIN, FORMATS_BEGIN):
        assert text.count(begin) == 1
    named = [kind.name for words in FORMATS.values() for kind in kinds_of(words)]
    assert sorted(named) == sorted(INPUTS)
    assert {name for name in ENCODINGS if f"| `{name}` |" in text} == set(ENCODINGS)


def test_the_example_config_is_valid_in_the_cloud():
    (example,) = re.findall(r"```json\n(.*?)```", README.read_text(), re.DOTALL)
    assert Config.parse(json.loads(example), base=None).for_cloud() == ()


def test_the_schema_is_the_configs_own():
    assert SCHEMA.read_text() == schema()


def test_editors_accept_what_is_right_and_mark_what_is_not():
    (example,) = re.findall(r"```json\n(.*?)```", README.read_text(), re.DOTALL)
    check = jsonschema.Draft202012Validator(json.loads(schema()))
    config = {**json.loads(example), "$schema": "https://x/config.schema.json", "// note": "seen"}
    assert list(check.iter_errors(config)) == []
    assert Config.parse(config, base=None).schema_url
    wrong = {**config, "voxle_offset": [0, 0, 0], "scales": 0, "voxel_resolution": None}
    marked = " ".join(e.message for e in check.iter_errors(wrong))
    assert "voxle_offset" in marked
    assert len(list(check.iter_errors(wrong))) == 3
