"""The `zblocks` command: arguments in, text out."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from zblocks import __version__, local, transfer
from zblocks import verify as checks
from zblocks.config import Config
from zblocks.credentials import Credentials, load_credentials
from zblocks.errors import DestinationClaimed, IncompleteVolume, StorageError, ZblocksError
from zblocks.verify.findings import Findings

app = typer.Typer(
    name="zblocks",
    help="Aligned microscope slices become a Neuroglancer volume, in one pass.\n\n"
    "CONFIG is a JSON file that says where the slices are, where the volume goes and how large a "
    "voxel is; the README lists its fields. Exit codes: 0 done, 1 the work failed (start the same "
    "command again: only what is missing is done), 2 bad input.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
errors = Console(stderr=True, soft_wrap=True, highlight=False)

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="The job: a JSON file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")]

NOT_THE_INPUT = (DestinationClaimed, IncompleteVolume, StorageError)
"""Errors after which the same command may well succeed."""

EXAMPLES = 3
"""Problems of one kind that are printed."""

PLAIN_EVERY = 5.0
"""Seconds between two lines of progress where there is no terminal."""


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
        int | None, typer.Option(min=1, help="Processes; default: one per core.")
    ] = None,
    memory: Annotated[
        int | None, typer.Option(min=1, help="MiB per process; default: 70 % shared out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Do the whole job on this machine: slices in a bucket or folder to a volume in either.

    Ctrl-C stops it; the same command goes on where it stopped.
    """
    with reporting():
        job = Config.load(config).folders() if folders else Config.load(config)
        machine = local.Machine.choose(workers, memory)
        with _Display() as display:
            ending = local.convert(job, machine, _credentials(job), display.show)
        if as_json:
            print(json.dumps(asdict(ending)))
            return
        for line in ending.filled:
            print(f"filled {line}")
        for line in ending.holes:
            print(f"left out: {line}")
        print(f"{ending.status}: {ending.location}\nreport: {ending.report}")
        if ending.location.startswith("s3://"):
            print(f"view: {ending.link}")


@app.command()
def download(config: ConfigFile, as_json: AsJson = False) -> None:
    """Copy the listed slices from the bucket into folder_to_write_to, and nothing else."""
    with reporting():
        job = Config.load(config)
        moved = transfer.download(job, _credentials(job), _count_objects("downloaded"))
        _print_moved(moved, f"slices are in {job.download_folder}", as_json=as_json)


@app.command()
def upload(config: ConfigFile, as_json: AsJson = False) -> None:
    """Copy the volume in folder_to_convert_to to the upload bucket, and nothing else.

    With "overwrite": false, objects that are there already are left alone.
    """
    with reporting():
        job = Config.load(config)
        moved = transfer.upload(job, _credentials(job), _count_objects("uploaded"))
        _print_moved(moved, f"the volume is at {job.destination}", as_json=as_json)


@app.command()
def verify(
    location: Annotated[str, typer.Argument(help="A folder, file:/// or s3:// url.")],
    source: Annotated[
        Path | None, typer.Option(metavar="CONFIG", help="Compare with this job's slices.")
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Compare voxels of so many chunks of each scale.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Chooses the sample.")] = 0,
    allow_holes: Annotated[
        bool,
        typer.Option("--allow-holes", help="Chunks may be absent, as tensorstore leaves them."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check a finished volume, of zblocks or of any other tool.

    Exit codes: 0 sound, 1 not, 2 could not check.
    """
    with reporting(otherwise=2):
        job = Config.load(source) if source else None
        place = location if "://" in location else Path(location).absolute().as_uri()
        wanted = checks.Wanted(job, sample, seed, allow_holes)
        found = checks.verify(place, wanted, _credentials(job) if job else None)
    if as_json:
        print(json.dumps(_as_json(place, wanted, found)))
    else:
        _print_findings(place, wanted, found)
    sys.exit(found.code)


def _as_json(place: str, wanted: checks.Wanted, found: Findings) -> dict[str, Any]:
    """Return what was found, for machines."""
    return {
        "location": place,
        "sound": found.sound,
        "sample": wanted.sample,
        "seed": wanted.seed,
        "problems": [asdict(p) for p in found.problems],
        "counts": found.counts,
        "could_not_check": found.unchecked,
        "checked": found.numbers,
        "scales": found.scales,
        "notes": found.notes,
    }


def _print_findings(place: str, wanted: checks.Wanted, found: Findings) -> None:
    """Print what was found, for people: the first of each kind."""
    for kind, count in found.counts.items():
        some = [p for p in found.problems if p.kind == kind][:EXAMPLES]
        print(f"{kind}: {count}")
        for problem in some:
            print(f"  {problem.place} {problem.message}; {problem.remedy}")
        if count > len(some):
            print(f"  … and {count - len(some)} more (--json names them)")
    for text in found.unchecked:
        print(f"could not check: {text}")
    for note in found.notes:
        print(f"note: {note}")
    looked = ", ".join(f"{number:,} {what}" for what, number in found.numbers.items())
    chosen = f" (a sample of {wanted.sample} chunks a scale, seed {wanted.seed})"
    print(f"looked at {looked or 'info only'}{chosen if wanted.sample else ''}")
    words = ("sound", "NOT SOUND", "nothing wrong is found, but not all could be checked")
    print(f"{place}: {words[found.code]}")


def _version(show: bool) -> None:
    """Print the version and end."""
    if show:
        print(f"zblocks {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print and end.")
    ] = False,
) -> None:
    """Options of the command itself."""


@contextmanager
def reporting(otherwise: int = 1) -> Iterator[None]:
    """Turn errors into one message and an exit code.

    Args:
        otherwise: the code where the input isn't to blame.
    """
    try:
        yield
    except KeyboardInterrupt:
        errors.print("stopped; the same command goes on where this one stopped")
        sys.exit(130)
    except ZblocksError as error:
        errors.print(f"[bold red]{type(error).__name__}[/]: {escape(str(error))}")
        sys.exit(otherwise if isinstance(error, NOT_THE_INPUT) else 2)


def _credentials(config: Config) -> Credentials | None:
    """Read the user's file of keys, if the config names one."""
    path = config.credentials_path
    return load_credentials(path) if path else None


class _Display:
    """How far a conversion is: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("blocks {task.fields[blocks]}"),
            BarColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            TextColumn("{task.fields[failed]}"),
            console=errors,
        )
        self._task: TaskID | None = None
        self._begun = time.monotonic()
        self._said = 0.0

    def __enter__(self) -> _Display:
        if errors.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, state: local.State) -> None:
        """Show a state."""
        seconds = max(time.monotonic() - self._begun, 1e-3)
        rate = f"{state.voxels_done / seconds / 1e6:.1f} Mvoxel/s"
        failed = f"{state.blocks_failed} failed" if state.blocks_failed else ""
        if errors.is_terminal:
            self._draw(state, rate, failed)
        elif time.monotonic() - self._said > PLAIN_EVERY or self._ended(state):
            self._said = time.monotonic()
            share = state.voxels_done / max(state.voxels_due, 1)
            eta = f", {seconds / share - seconds:.0f} s to go" if 0 < share < 1 else ""
            done = f"blocks {state.blocks_done}/{state.plan.blocks}"
            errors.print(", ".join(p for p in (done, failed, rate) if p) + eta)

    def _draw(self, state: local.State, rate: str, failed: str) -> None:
        """Move the bar: it runs in voxels, so that it moves within blocks, too."""
        if self._task is None:
            self._task = self._bar.add_task(
                "", total=state.voxels_due, blocks="", rate="", failed=""
            )
        blocks = f"{state.blocks_done}/{state.plan.blocks}"
        self._bar.update(
            self._task, completed=state.voxels_done, blocks=blocks, rate=rate, failed=failed
        )

    @staticmethod
    def _ended(state: local.State) -> bool:
        """Tell whether no block is left."""
        return state.blocks_done + state.blocks_failed == state.plan.blocks


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


def main() -> None:
    """Run the command."""
    app()
