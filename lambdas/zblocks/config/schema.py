"""The JSON schema of a config, for editors: completion, and a mark under what is wrong."""

from __future__ import annotations

from typing import Any

from zblocks.config.fields import Fields
from zblocks.config.messages import COMMENT


def config_schema() -> dict[str, Any]:
    """Return the schema (JSON Schema 2020-12). Editors know less than `Config.parse` does."""
    schema = Fields.model_json_schema(by_alias=True)
    schema |= {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A zblocks job",
        "description": "Slices that become a Neuroglancer volume.",
        "patternProperties": {f"^{COMMENT}": {"description": "a comment"}},
    }
    return schema
