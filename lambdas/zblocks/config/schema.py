"""The JSON schema of a config, for completion and checks in editors."""

from __future__ import annotations

from typing import Any

from zblocks.config.fields import Fields
from zblocks.config.messages import COMMENT


def config_schema() -> dict[str, Any]:
    """Return the schema (JSON Schema 2020-12); `Config.parse` checks more."""
    schema = Fields.model_json_schema(by_alias=True)
    schema |= {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "zblocks config",
        "description": "How to convert slices to a Neuroglancer volume.",
        "patternProperties": {f"^{COMMENT}": {"description": "a comment"}},
    }
    return schema
