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
from zblocks.cli.output import PLAIN_EVERY, place_of, reporting, say, say_how_to_stop
from zblocks.config import Config
from zblocks.errors import InvalidConfig, several
from zblocks.omezarr.array import DOCUMENT
from zblocks.outputs.scales import SUFFIX
from zblocks.planning.places import refuse_bucket
from zblocks.planning.stores import access_of
from zblocks.run import transfer
from zblocks.run.finalize import Ending
from zblocks.run.local.convert import Machine
from zblocks.storage import look_at_bucket, open_store, open_writable


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


def upload_volume(path: Path, bucket: str | None, *, as_json: bool) -> None:
    """Copy a volume from its folder, or the folder that a config names, to a bucket."""
    with reporting():
        config = None if path.is_dir() else Config.load(path)
        folder = config.upload_folder if config else place_of(str(path))
        place = bucket or (config.destination if config else "")
        if not folder:
            msg = f"{path}: names no folder with the volume; give folder_to_convert_to"
            raise InvalidConfig(msg)
        if not place.startswith("s3://"):
            what = f"{bucket}: is not in a bucket" if bucket else f"{path}: names no bucket for it"
            msg = f"{what}; give one: zblocks upload {path} s3://bucket/folder"
            raise InvalidConfig(msg)
        access = access_of(config)
        source, target = open_store(folder), open_writable(place, access)
        refuse_bucket(place, look_at_bucket(place, access), cloud=False)
        overwrite = config is not None and config.overwrite
        count = _count_objects("uploaded")
        for suffix in ("", SUFFIX):
            there = source.beside(suffix)
            if not suffix or there.head(DOCUMENT):
                beside = target.beside(suffix)
                moved = transfer.upload(there, beside, count, overwrite=overwrite)
                _print_moved(moved, f"the volume is at {beside.url}", as_json=as_json)


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
