"""Runs that are stopped, or meet another one, in the middle of their work."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from demo.signals import default_signals
from tests.chaos.proxy import Held, failing
from tests.chaos.seeds import Bucket, children
from tests.flow import inprocess
from tests.flow.conftest import textured, write_stack, zblocks
from zblocks.config import Config

PLACE, CLEAN = "s3://volumes/v", "s3://volumes/clean"
BLOCKS = 5
SECONDS = 120


@pytest.fixture
def held(cloud):
    """What holds runs up in the middle of their work, and the address where it does."""
    weather = Held(since=r"PUT .*/receipts/block-", what=r"PUT (?!.*/\.zblocks/)")
    with failing(cloud.endpoint, weather) as endpoint:
        yield weather, endpoint
        weather.released.set()


@pytest.fixture
def expected(tmp_path, write_config, cloud):
    """The objects of an undisturbed run's volume, from the slices that are there for others."""
    write_stack(tmp_path / "in", textured((64 * BLOCKS - 20, 30, 40, 1), "uint8"))
    clean = write_config(destination=CLEAN)
    inprocess.convert(Config.load(clean))
    return Bucket(cloud.s3, "volumes", "clean").volume()


def begin(config, endpoint, *before):
    """Start the command, with a shell before it if need be, in a session of its own."""
    line = [*before, sys.executable, "-m", "zblocks", "convert", str(config), "--workers", "2"]
    env = {**os.environ, "AWS_ENDPOINT_URL": endpoint}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with default_signals():
        return subprocess.Popen(line, env=env, start_new_session=True, **pipes)


def lives(pid):
    """Tell whether a process is there, and no zombie."""
    with suppress(FileNotFoundError):
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    return False


@pytest.mark.parametrize(
    ("stop", "code"),
    [
        ((os.killpg, signal.SIGINT), 130),
        ((os.kill, signal.SIGTERM), 143),
        ((os.killpg, signal.SIGTERM), 143),
        ((os.kill, signal.SIGKILL), -9),
    ],
    ids=["Ctrl-C", "SIGTERM", "SIGTERM to all processes", "SIGKILL"],
)
def test_a_stopped_run_resumes(write_config, cloud, held, expected, stop, code):
    weather, endpoint = held
    config = write_config(destination=PLACE)
    run = begin(config, endpoint)
    assert weather.reached.wait(SECONDS)
    workers = children(run.pid)
    send, number = stop
    send(run.pid, number)
    _, err = run.communicate(timeout=SECONDS)
    assert run.returncode == code
    assert "Traceback" not in err
    assert ("stopped; the same command resumes" in err) == (code > 0)
    assert ("v/.zblocks/lock.json" in cloud.keys("volumes")) == (code < 0)
    assert len(workers) == 2
    assert not any(lives(pid) for pid in workers)
    check_resumes(config, cloud, expected)


def check_resumes(config, cloud, expected):
    """Some blocks are done; the same command does the others, and the volume is as expected."""
    there = Bucket(cloud.s3, "volumes", "v")
    done = there.receipts()
    assert 0 < len(done) < BLOCKS
    assert "info" not in there.volume()
    assert zblocks("convert", config).code == 0
    assert done.items() <= there.receipts().items()
    assert there.volume() == expected


def test_in_the_background_it_says_how_to_stop_it(write_config, cloud, held, expected):
    """A script's `zblocks convert … &` ignores Ctrl-C."""
    weather, endpoint = held
    config = write_config(destination=PLACE)
    run = begin(config, endpoint, "sh", "-c", '"$@" & wait $!', "sh")
    assert weather.reached.wait(SECONDS)
    said = run.stderr.readline()
    (pid,) = re.findall(r"to stop: kill (\d+)\. The same command resumes\.$", said)
    os.kill(int(pid), signal.SIGINT)
    os.kill(int(pid), signal.SIGTERM)
    _, err = run.communicate(timeout=SECONDS)
    assert run.returncode == 143
    assert "stopped; the same command resumes" in err
    check_resumes(config, cloud, expected)


def test_of_two_runs_at_once_one_converts(write_config, cloud, held, expected):
    """By S3's conditional write."""
    weather, endpoint = held
    config = write_config(destination=PLACE)
    runs = [begin(config, endpoint) for _ in range(2)]
    refused = first_to_end(runs)
    assert "DestinationClaimed" in refused.communicate()[1]
    assert refused.returncode == 1
    weather.released.set()
    (other,) = (run for run in runs if run is not refused)
    _, err = other.communicate(timeout=SECONDS)
    assert other.returncode == 0, err
    assert Bucket(cloud.s3, "volumes", "v").volume() == expected
    assert "v/.zblocks/lock.json" not in cloud.keys("volumes")


def first_to_end(runs):
    """Wait for the end of one of two processes."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if ended := [run for run in runs if run.poll() is not None]:
            return ended[0]
        time.sleep(0.02)
    raise AssertionError("both runs go on")


def test_a_killed_worker_is_named_and_the_rest_is_kept(write_config, cloud, held, expected):
    """As the system kills a process when memory runs out."""
    weather, endpoint = held
    config = write_config(destination=PLACE)
    run = begin(config, endpoint)
    assert weather.reached.wait(SECONDS)
    workers = children(run.pid)
    os.kill(workers[0], signal.SIGKILL)
    _, err = run.communicate(timeout=SECONDS)
    assert run.returncode == 2
    assert "DoesNotFit: a worker process was killed, probably for lack of memory" in err
    assert not any(lives(pid) for pid in workers)
    check_resumes(config, cloud, expected)
