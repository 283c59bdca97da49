"""`zblocks init` and `zblocks schema`: help with writing a config."""

from __future__ import annotations

import json
from pathlib import Path

from zblocks.cli.first_config import SCHEMA, first_config
from zblocks.cli.output import place_of, reporting, say
from zblocks.config.fields import config_schema
from zblocks.errors import InvalidConfig
from zblocks.storage import Access


def write_first_config(
    location: str,
    output: Path | None,
    resolution: tuple[float, float, float] | None,
    *,
    requester_pays: bool,
) -> None:
    """Write a config for the slices at a location, to a new file or to stdout."""
    with reporting():
        if output is not None and output.exists():
            raise InvalidConfig(f"{output}: exists already; give another name, or remove it")
        text = first_config(place_of(location), resolution, Access(requester_pays=requester_pays))
        if output is None:
            print(text, end="")
            return
        try:
            with output.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            msg = f"{output}: can't be written ({error.strerror}); check the folder"
            raise InvalidConfig(msg) from None
    say(f"wrote {output}; check it, then run: zblocks plan {output}")
    say(f"for completion in editors: zblocks schema > {output.parent / SCHEMA}")


def print_schema() -> None:
    """Print the JSON schema of a config."""
    print(json.dumps(config_schema(), indent=1, ensure_ascii=False))
