"""The README says what is so."""

from __future__ import annotations

import json
import re

from tests.readme_table import README, with_table
from zblocks.config import Config


def test_the_table_of_fields_is_the_configs_own():
    text = README.read_text()
    assert text == with_table(text)
    assert "`voxel_resolution`" in text


def test_the_example_config_is_valid_in_the_cloud():
    (example,) = re.findall(r"```json\n(.*?)```", README.read_text(), re.DOTALL)
    assert Config.parse(json.loads(example), base=None).for_cloud() == ()
