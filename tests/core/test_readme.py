"""The README is short, and its config is valid for the config model and in editors."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema

from tests.generated_tables import schema
from zblocks.config import Config

README = Path(__file__).resolve().parents[2] / "README.md"
MOST_LINES = 130


def example() -> dict[str, object]:
    """Return the config in the README."""
    (text,) = re.findall(r"```json\n(.*?)```", README.read_text(), re.DOTALL)
    config: dict[str, object] = json.loads(text)
    return config


def test_the_readme_is_short():
    assert len(README.read_text().splitlines()) <= MOST_LINES


def test_the_example_config_is_valid_in_the_cloud():
    assert Config.parse(example(), base=None).for_cloud() == ()


def test_the_table_explains_the_fields_of_the_example():
    rows = re.findall(r"^\| (`.*?`) \| .* \|$", README.read_text(), re.MULTILINE)
    explained = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert explained == sorted(example(), key=explained.index)


def test_editors_accept_what_is_right_and_mark_what_is_not():
    check = jsonschema.Draft202012Validator(json.loads(schema()))
    config = {**example(), "$schema": "https://x/config.schema.json", "// note": "seen"}
    assert list(check.iter_errors(config)) == []
    assert Config.parse(config, base=None).schema_url
    wrong = {**config, "voxle_offset": [0, 0, 0], "scales": 0, "voxel_resolution": None}
    marked = " ".join(e.message for e in check.iter_errors(wrong))
    assert "voxle_offset" in marked
    assert len(list(check.iter_errors(wrong))) == 3
