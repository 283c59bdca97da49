"""`make demo`: a real brain, an emulated AWS, and the commands that a user would type.

Slices go up with `aws s3 cp`, the stack with `cdk deploy`, the job with `aws stepfunctions
start-execution`; then every voxel is read back with cloud-volume, and it is said where the report
and Neuroglancer's picture are.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from demo.brain import CACHE, RESOLUTION_NM, decode_slices, load_brain, write_slices
from demo.browser import viewing
from demo.check import differences, read_volume
from demo.deploy import bootstrap, deploy
from demo.emulator import Emulator, command, emulator

SLICES, VOLUMES, FOLDER = "brain-slices", "brain-volumes", "brains/mni152"
say = Console(soft_wrap=True, highlight=False)


class DemoError(RuntimeError):
    """A step of the demo failed; the message says which."""


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument("--no-wait", action="store_true", help="end there, and serve nothing")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _end)
    with tempfile.TemporaryDirectory(prefix="zblocks-demo-") as scratch, emulator() as aws:
        with step("an emulated AWS: cdk bootstrap, cdk deploy"):
            bootstrap(aws)
            outputs = deploy(aws, demo_context())
        folder = Path(scratch)
        with step("a brain: the MNI152 T1 template as JPEG slices, aws s3 cp"):
            lines = upload_slices(aws, folder)
        ending = convert(aws, outputs["StateMachineArn"], write_config(folder))
        with step("every voxel of every scale, read back by cloud-volume"):
            check(aws, folder, lines)
        report = keep_report(aws, ending)
        say.print(f"\n[green]{ending['status']}[/]: {ending['location']}")
        say.print(f"report: {os.path.relpath(report)}")
        say.print(f"Neuroglancer: {viewer_url(aws, ending['link'])}")
        if not options.no_wait:
            serve(aws, ending["location"])


def _end(number: int, _: object) -> None:
    """End in order, the emulator, too."""
    sys.exit(128 + number)


def demo_context() -> dict[str, str]:
    """Return what the stack is deployed with: it makes its own buckets."""
    return {"create_buckets": "true", "source_buckets": SLICES, "destination_bucket": VOLUMES}


@contextmanager
def step(what: str) -> Iterator[None]:
    """Say what is being done, and how long it took."""
    begun = time.monotonic()
    say.print(f"… {what}", end="\r" if say.is_terminal else "\n")
    yield
    say.print(f"[green]✓[/] {what} [dim]{time.monotonic() - begun:.0f} s[/]")


def run_aws(aws: Emulator, *arguments: str | Path) -> str:
    """Run the AWS command line; return what it prints.

    Raises:
        DemoError: it failed.
    """
    line = [command("aws"), *map(str, arguments)]
    done = subprocess.run(line, env=dict(aws.env), capture_output=True, text=True, check=False)
    if done.returncode:
        msg = f"aws {' '.join(map(str, arguments))}: {done.stderr}"
        raise DemoError(msg)
    return done.stdout


def upload_slices(aws: Emulator, folder: Path) -> list[str]:
    """Cut the brain, copy slices and their list to the bucket; return the list's lines."""
    lines = write_slices(load_brain(CACHE), folder / "slices")
    (folder / "names.txt").write_text("\n".join(lines) + "\n")
    run_aws(aws, "s3", "cp", "--recursive", "--quiet", folder / "slices", f"s3://{SLICES}/mni152/")
    run_aws(aws, "s3", "cp", "--quiet", folder / "names.txt", f"s3://{SLICES}/mni152/names.txt")
    return lines


def write_config(folder: Path) -> Path:
    """Write the job as the 2019 script knew it."""
    path = folder / "config.json"
    config = {
        "s3_bucket_name_for_download": SLICES,
        "sorted_filename": "mni152/names.txt",
        "s3_prefix": "mni152/brain_",
        "s3_parts": "_gray",
        "ext": ".jpg",
        "s3_bucket_name_for_upload": VOLUMES,
        "s3_dir_to_write_to": FOLDER,
        "voxel_resolution": RESOLUTION_NM,
    }
    path.write_text(json.dumps(config, indent=1))
    return path


def convert(aws: Emulator, machine: str, config: Path) -> dict[str, Any]:
    """Start the execution, show how far it is, and return its output.

    Raises:
        DemoError: it didn't succeed.
    """
    start = ("stepfunctions", "start-execution", "--state-machine-arn", machine)
    started = json.loads(run_aws(aws, *start, "--input", f"file://{config}"))
    say.print(f"  aws stepfunctions start-execution --input file://{config.name}")
    columns = (TextColumn("  blocks"), MofNCompleteColumn(), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=say) as bar:
        task = bar.add_task("", total=None)
        while True:
            done, total = count_blocks(aws)
            bar.update(task, completed=done, total=total)
            machines = aws.client("stepfunctions")
            described = machines.describe_execution(executionArn=started["executionArn"])
            if described["status"] != "RUNNING":
                break
            time.sleep(0.5)
    if described["status"] != "SUCCEEDED":
        msg = f"the execution ended {described['status']}: {described.get('cause')}"
        raise DemoError(msg)
    output: dict[str, Any] = json.loads(described["output"])
    return output


def count_blocks(aws: Emulator) -> tuple[int, int | None]:
    """Return how many blocks have a receipt, and how many there are once that is planned."""
    s3, work = aws.client("s3"), f"{FOLDER}/.zblocks"
    listed = s3.list_objects_v2(Bucket=VOLUMES, Prefix=f"{work}/").get("Contents", [])
    keys = [o["Key"] for o in listed]
    if f"{work}/plan.json" not in keys:
        return 0, None
    plan = json.loads(s3.get_object(Bucket=VOLUMES, Key=f"{work}/plan.json")["Body"].read())
    return sum("/receipts/block-" in key for key in keys), prod(plan["block_grid"])


def check(aws: Emulator, folder: Path, lines: list[str]) -> None:
    """Compare the volume with the slices.

    Raises:
        DemoError: a voxel differs.
    """
    info = json.loads(run_aws(aws, "s3", "cp", f"s3://{VOLUMES}/{FOLDER}/info", "-"))
    env = {**aws.env, "ZBLOCKS_SCRATCH": str(folder)}
    found = read_volume(env, VOLUMES, FOLDER)
    if problems := differences(found, decode_slices(folder / "slices", lines), info):
        msg = f"the volume is not what the slices say: {'; '.join(problems)}"
        raise DemoError(msg)


def viewer_url(aws: Emulator, link: str) -> str:
    """Return the execution's link with the emulator's address in place of Amazon's."""
    endpoint = aws.endpoint.replace(":", "%3A")
    return link.replace(f"s3%3A//{VOLUMES}", f"{endpoint}/{VOLUMES}")


def keep_report(aws: Emulator, ending: dict[str, Any]) -> Path:
    """Copy the report for people out of the bucket, so that it outlives the emulator."""
    page = ending["report"].removesuffix(".json") + ".html"
    run_aws(aws, "s3", "cp", "--quiet", page, CACHE / "report.html")
    return CACHE / "report.html"


def serve(aws: Emulator, location: str) -> None:
    """Serve the bucket, and the viewer's page by `zblocks view`, until Ctrl-C."""
    with viewing(location, "--offline", env=aws.env) as offline:
        say.print(f"without the internet (zblocks view --offline): {offline}")
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # in the background
        say.print(f"served until {f'kill {os.getpid()}' if ignored else 'Ctrl-C'}")
        with suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)
    say.print("stopped")


if __name__ == "__main__":
    try:
        main()
    except DemoError as error:
        raise SystemExit(f"demo: {error}") from None
