"""The job on this machine: `zblocks convert`, and the seed's steps `download` and `upload`."""

from __future__ import annotations

import json
import shlex
import sys
import time
from dataclasses import asdict
from typing import Annotated

import typer

from zblocks.api import convert_job, keys_of
from zblocks.cli.command import (
    PLAIN_EVERY,
    AsJson,
    ConfigFile,
    app,
    errors,
    reporting,
    say_how_to_stop,
)
from zblocks.cli.display import Display
from zblocks.config import Config
from zblocks.run import transfer
from zblocks.run.local.convert import Machine


@app.command()
def convert(
    config: ConfigFile,
    folders: Annotated[
        bool,
        typer.Option(
            "--folders",
            help="Convert folder_to_convert_from into folder_to_convert_to, even when buckets "
            "are given: the middle one of the steps download, convert, upload.",
        ),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes at once; default: one per core.")
    ] = None,
    memory: Annotated[
        int | None, typer.Option(min=1, help="Memory of each in MiB; default: its share of 70 %.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Do the whole job on this machine: slices in a bucket or folder to a volume in either.

    Ctrl-C or SIGTERM stops it; the same command resumes.
    """
    with reporting():
        job = Config.load(config).folders() if folders else Config.load(config)
        machine = Machine.choose(workers, memory)
        say_how_to_stop()
        with Display() as display:
            resume = shlex.join(sys.argv)
            ending = convert_job(job, machine, display.show, resume)
        if as_json:
            print(json.dumps(asdict(ending)))
            return
        for line in ending.filled:
            print(f"filled {line}")
        for line in ending.holes:
            print(f"left out: {line}")
        print(f"{ending.status}: {ending.location}\nreport: {ending.page or ending.report}")
        for line in ending.access_problems:
            print(f"others can't see it by its link: {line}")
        seen = ending.location.startswith("s3://") and not ending.access_problems
        print(f"view: {ending.link if seen else f'zblocks view {ending.location}'}")


@app.command()
def download(config: ConfigFile, as_json: AsJson = False) -> None:
    """Copy the listed slices from the bucket into folder_to_write_to, and nothing else."""
    with reporting():
        job = Config.load(config)
        moved = transfer.download(job, keys_of(job), _count_objects("downloaded"))
        _print_moved(moved, f"slices are in {job.download_folder}", as_json=as_json)


@app.command()
def upload(config: ConfigFile, as_json: AsJson = False) -> None:
    """Copy the volume in folder_to_convert_to to the upload bucket, and nothing else.

    With "overwrite": false, objects that are there already are left alone.
    """
    with reporting():
        job = Config.load(config)
        moved = transfer.upload(job, keys_of(job), _count_objects("uploaded"))
        _print_moved(moved, f"the volume is at {job.destination}", as_json=as_json)


def _count_objects(done: str) -> transfer.Progress:
    """Return an observer that says now and then how many objects are done."""
    said = [time.monotonic()]

    def show(count: int, total: int) -> None:
        if count == total or time.monotonic() - said[0] > PLAIN_EVERY:
            said[0] = time.monotonic()
            errors.print(f"{done} {count}/{total}")

    return show


def _print_moved(moved: transfer.Moved, where: str, *, as_json: bool) -> None:
    """Print what a step did."""
    if as_json:
        print(json.dumps(asdict(moved)))
        return
    print(f"{where}: {moved.copied} copied, {moved.kept} left as they were")
    for name in moved.missing:
        print(f"not there: {name}")
