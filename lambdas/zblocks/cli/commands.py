"""The commands and their options; each imports what it needs when it runs: --help is fast."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from zblocks import __version__

app = typer.Typer(
    name="zblocks",
    help="Convert aligned microscope slices into a Neuroglancer volume, in one pass.\n\n"
    "CONFIG is a JSON file that names the slices, the destination of the volume and the voxel "
    "size; zblocks init writes one. Exit codes: 0 success, 1 the work failed (rerun the same "
    "command; it does only what is missing), 2 bad input.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

ConfigFile = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="A JSON file, as written by zblocks init.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
PricesFile = Annotated[
    Path | None,
    typer.Option(
        "--prices", metavar="FILE", help='Other prices: JSON like "prices" in zblocks plan --json.'
    ),
]
RequesterPays = Annotated[
    bool,
    typer.Option("--requester-pays", help="Agree to pay for requests, where the requester has to."),
]
Machine = Annotated[str, typer.Option(help="The state machine's ARN, or the name of its stack.")]


def main() -> None:
    """Run the command line."""
    app(prog_name="zblocks")  # however it was started: completion and help show this name


def _version(show: bool) -> None:
    if show:
        print(f"zblocks {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Define the options that come before a command."""


@app.command()
def init(
    location: Annotated[
        str, typer.Argument(help="Where the slices are: a folder, or s3://bucket/prefix.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the config to this new file; default: stdout."),
    ] = None,
    resolution: Annotated[
        tuple[float, float, float] | None,
        typer.Option(metavar="X Y Z", help="Voxel size in nm, such as 3680 3680 20000."),
    ] = None,
    requester_pays: RequesterPays = False,
) -> None:
    """Inspect slices and write a first config for them.

    Comments in the config describe the slices. Fill in the voxel size, and check the other fields
    before you convert.
    """
    from zblocks.cli.init import write_first_config

    write_first_config(location, output, resolution, requester_pays=requester_pays)


@app.command()
def schema() -> None:
    """Print the JSON schema of a config.

    Editors complete and check the fields of a config whose "$schema" names this file.
    """
    from zblocks.cli.init import print_schema

    print_schema()


@app.command()
def plan(
    config: ConfigFile,
    memory: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Memory per worker in MiB; default: 1769 or 3008 for a Lambda function, "
            "whichever costs less.",
        ),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, help="Workers at once; default: max_concurrency, or cores here."),
    ] = None,
    architecture: Annotated[
        Literal["arm64", "x86_64"], typer.Option(help="Processor of the Lambda functions.")
    ] = "arm64",
    prices: PricesFile = None,
    as_json: AsJson = False,
) -> None:
    """Predict a run's work, time, memory and cost, and warn; write nothing.

    Between two buckets the workers are Lambda functions; if the source or the destination is a
    folder, they are processes on this machine. Exit codes: 0 the run may start, 2 it would be
    refused.
    """
    from zblocks.api import plan as forecast
    from zblocks.cli.output import reporting
    from zblocks.cli.plan import print_forecast

    with reporting():
        found = forecast(
            config, workers=concurrency, memory_mb=memory, architecture=architecture, prices=prices
        )
    print_forecast(found, as_json=as_json)


@app.command()
def convert(
    config: ConfigFile,
    folders: Annotated[
        bool,
        typer.Option(
            "--folders",
            help="Convert folder_to_convert_from into folder_to_convert_to even if the config "
            "names buckets: the second of the steps download, convert, upload.",
        ),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of processes; default: one per core.")
    ] = None,
    memory: Annotated[
        int | None,
        typer.Option(min=1, help="Memory per process in MiB; default: an equal share of 70 %."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Convert on this machine; slices and volume may each be in a bucket or a folder.

    Ctrl-C or SIGTERM stops the run; the same command resumes it.
    """
    from zblocks.cli.convert import convert_here

    convert_here(config, workers, memory, folders=folders, as_json=as_json)


@app.command()
def download(config: ConfigFile, as_json: AsJson = False) -> None:
    """Only copy the slices from the bucket to folder_to_write_to."""
    from zblocks.cli.convert import download_slices

    download_slices(config, as_json=as_json)


@app.command()
def upload(
    volume: Annotated[Path, typer.Argument(help="The volume's folder, or a config that names it.")],
    bucket: Annotated[
        str | None, typer.Argument(help="s3://bucket/folder; default: the config's.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Only copy a volume from a folder to a bucket, with the names and headers that viewers need.

    Objects that exist already are kept, unless the config has "overwrite": true.
    """
    from zblocks.cli.convert import upload_volume

    upload_volume(volume, bucket, as_json=as_json)


@app.command()
def start(
    config: ConfigFile,
    machine: Machine = "zblocks",
    watching: Annotated[
        bool, typer.Option("--watch/--no-watch", help="Watch the execution until it ends.")
    ] = True,
    planning: Annotated[
        bool,
        typer.Option(
            "--plan/--no-plan",
            help="First read the slices' headers here and predict the run; max_cost_usd is "
            "enforced in AWS in any case.",
        ),
    ] = True,
    waiting: Annotated[
        bool,
        typer.Option(
            "--wait", help="First wait until no other run writes at the destination any more."
        ),
    ] = False,
    prices: PricesFile = None,
    as_json: AsJson = False,
) -> None:
    """Start a job on your deployed stack in AWS, and watch it.

    A local list of slices is sent with the config. Ctrl-C leaves the execution running.
    """
    from zblocks.cli.execution import start_execution, watch_started

    started = start_execution(config, machine, prices, planning=planning, waiting=waiting)
    watch_started(started, watching=watching, as_json=as_json)


@app.command()
def watch(
    execution: Annotated[str, typer.Argument(help="Its ARN or name, as printed by start.")],
    machine: Machine = "zblocks",
    prices: PricesFile = None,
    as_json: AsJson = False,
) -> None:
    """Watch a job in AWS until it ends.

    Exit codes: 0 COMPLETE or PARTIAL, 1 the job failed, 2 bad input or no such execution, 130
    Ctrl-C: the execution continues, and the commands to watch or stop it are printed.
    """
    from zblocks.cli.execution import watch_execution

    watch_execution(execution, machine, prices, as_json=as_json)


@app.command()
def verify(
    location: Annotated[str, typer.Argument(help="A folder, or a file:/// or s3:// URL.")],
    source: Annotated[
        Path | None,
        typer.Option(metavar="CONFIG", help="Compare the voxels with this job's slices."),
    ] = None,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Compare only this many chunks of each scale.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the sample.")] = 0,
    allow_holes: Annotated[
        bool,
        typer.Option("--allow-holes", help="Accept missing chunks, as tensorstore leaves them."),
    ] = False,
    requester_pays: RequesterPays = False,
    as_json: AsJson = False,
) -> None:
    """Check a finished volume, made by zblocks or any other tool.

    Exit codes: 0 sound, 1 not sound, 2 it could not be checked.
    """
    from zblocks.cli.verify import check
    from zblocks.verify import VerifyOptions

    options = VerifyOptions(None, sample, seed, allow_holes)
    check(location, source, options, requester_pays=requester_pays, as_json=as_json)


@app.command()
def view(
    location: Annotated[
        str, typer.Argument(help="A folder, or a file:///, s3:// or http(s):// URL.")
    ],
    link: Annotated[
        bool, typer.Option("--link", help="Only print the link of a volume in a bucket.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Serve the viewer from this machine, too.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to serve at; 0: any free one.")
    ] = 0,
    browser: Annotated[bool, typer.Option(help="Open the link in a browser.")] = True,
    config: Annotated[
        Path | None, typer.Option(metavar="CONFIG", help="Use this job's s3_creds_file.")
    ] = None,
    requester_pays: RequesterPays = False,
) -> None:
    """Open a volume, made by zblocks or any other tool, in Neuroglancer.

    A folder, or a bucket that isn't publicly readable, is served to your own browser from this
    machine, with your credentials, until Ctrl-C or SIGTERM.
    """
    from zblocks.cli.view import AccessOptions, print_link, show

    options = AccessOptions(config, requester_pays)
    if link:
        print_link(location, options)
    else:
        show(location, options, port, offline=offline, browser=browser)
