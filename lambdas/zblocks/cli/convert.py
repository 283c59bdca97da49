"""Jobs on this machine: `zblocks convert`, `download` and `upload`."""

from __future__ import annotations

import json
import shlex
import sys
import time
from dataclasses import asdict
from pathlib import Path

from zblocks.api import convert_job
from zblocks.cli.display import Display
from zblocks.cli.output import PLAIN_EVERY, reporting, say, say_how_to_stop
from zblocks.config import Config
from zblocks.errors import several
from zblocks.run import transfer
from zblocks.run.finalize import Ending
from zblocks.run.local.convert import Machine


def convert_here(
    path: Path, workers: int | None, memory: int | None, *, folders: bool, as_json: bool
) -> None:
    """Convert with processes of this machine, and print where the volume is."""
    with reporting():
        config = Config.load(path).folders() if folders else Config.load(path)
        machine = Machine.choose(workers, memory)
        say_how_to_stop()
        with Display() as display:
            resume = shlex.join(sys.argv)
            ending = convert_job(config, machine, display.show, resume)
        if as_json:
            print(json.dumps(asdict(ending)))
        else:
            _print_ending(ending)


def _print_ending(ending: Ending) -> None:
    print_slices(ending)
    print(f"{ending.status}: {ending.location}\nreport: {ending.page or ending.report}")
    for line in ending.access_problems:
        print(f"others can't see it by its link: {line}")
    public = ending.location.startswith("s3://") and not ending.access_problems
    print(f"view: {ending.link if public else f'zblocks view {ending.location}'}")


def print_slices(ending: Ending) -> None:
    """Print which slices are missing, damaged, left out or odd, and how to mend the volume."""
    for line in ending.filled:
        print(f"filled {line}")
    for line in ending.holes:
        print(f"left out: {line}")
    if ending.odd:
        print(several([f"look at {line}" for line in ending.odd]))
    if ending.status == "PARTIAL":
        print(
            'to mend it, replace these slices and run the same config with "overwrite": true: '
            "only the blocks that read them are converted again"
        )


def download_slices(path: Path, *, as_json: bool) -> None:
    """Copy the slices to `folder_to_write_to`."""
    with reporting():
        config = Config.load(path)
        moved = transfer.download(config, _count_objects("downloaded"))
        _print_moved(moved, f"slices are in {config.download_folder}", as_json=as_json)


def upload_volume(path: Path, *, as_json: bool) -> None:
    """Copy the volume from `folder_to_convert_to` to the bucket."""
    with reporting():
        config = Config.load(path)
        moved = transfer.upload(config, _count_objects("uploaded"))
        _print_moved(moved, f"the volume is at {config.destination}", as_json=as_json)


def _count_objects(done: str) -> transfer.Progress:
    """Return an observer that prints, now and then, how many objects are done."""
    last = [time.monotonic()]

    def show(count: int, total: int) -> None:
        if count == total or time.monotonic() - last[0] > PLAIN_EVERY:
            last[0] = time.monotonic()
            say(f"{done} {count}/{total}")

    return show


def _print_moved(moved: transfer.Moved, where: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(moved)))
        return
    print(f"{where}: {moved.copied} copied, {moved.kept} kept")
    for name in moved.missing:
        print(f"missing: {name}")
