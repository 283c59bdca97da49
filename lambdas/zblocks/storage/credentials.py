"""AWS keys from the file of `s3_creds_file`: for runs on one machine only."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from zblocks.errors import InvalidConfig


@dataclass(frozen=True, slots=True)
class Credentials:
    """Keys for one account."""

    access_key: str
    secret_key: str = field(repr=False)
    region: str | None = None
    """None: from the environment."""


def load_credentials(path: Path) -> Credentials:
    """Read the JSON file; errors never show its content.

    Raises:
        InvalidConfig: the file is missing, not a JSON object, or lacks a key.
    """
    try:
        data = json.loads(path.read_text())
    except OSError as error:
        msg = f"s3_creds_file: {path} can't be read ({error.strerror}); correct the path"
        raise InvalidConfig(msg) from None
    except ValueError:
        msg = f"s3_creds_file: {path} is not JSON; give access_key, secret_key and region in it"
        raise InvalidConfig(msg) from None
    values = [data.get(n) if isinstance(data, dict) else None for n in ("access_key", "secret_key")]
    if not all(isinstance(v, str) and v.strip().isprintable() and v.strip() for v in values):
        msg = f"s3_creds_file: {path} must have access_key and secret_key, both text"
        raise InvalidConfig(msg)
    region = data.get("region")
    if region is not None and not isinstance(region, str):
        msg = f"s3_creds_file: {path}: region is not text; give one such as us-east-1"
        raise InvalidConfig(msg)
    return Credentials(str(values[0]).strip(), str(values[1]).strip(), region or None)
