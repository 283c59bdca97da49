"""`zblocks init` and `zblocks schema`: help with writing a config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from zblocks.cli.command import app, errors, place_of, reporting
from zblocks.cli.first_config import SCHEMA, first_config
from zblocks.config.schema import config_schema
from zblocks.errors import InvalidConfig


@app.command()
def init(
    location: Annotated[
        str, typer.Argument(help="Where the slices are: a folder, or s3://bucket/prefix.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the config there, not to the screen."),
    ] = None,
    resolution: Annotated[
        tuple[float, float, float] | None,
        typer.Option(metavar="X Y Z", help="The size of a voxel in nm, such as 3680 3680 20000."),
    ] = None,
) -> None:
    """Look at slices, and write a first config for them.

    Its comments say what was seen. The size of a voxel has to be filled in; read the rest, too,
    before you convert.
    """
    with reporting():
        if output is not None and output.exists():
            raise InvalidConfig(f"{output}: is there already; give another name, or remove it")
        text = first_config(place_of(location), resolution)
        if output is None:
            print(text, end="")
            return
        _write(output, text)
    errors.print(f"wrote {output}: read it, then: zblocks plan {output}", markup=False)
    errors.print(
        f"editors complete its fields with: zblocks schema > {output.parent / SCHEMA}",
        markup=False,
    )


def _write(path: Path, text: str) -> None:
    """Write a new file.

    Raises:
        InvalidConfig: it is there, or can't be written.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        msg = f"{path}: can't be written ({error.strerror}); check the folder"
        raise InvalidConfig(msg) from None


@app.command()
def schema() -> None:
    """Print the JSON schema of a config.

    Editors complete the fields of a config that names it in "$schema".
    """
    print(json.dumps(config_schema(), indent=1, ensure_ascii=False))
