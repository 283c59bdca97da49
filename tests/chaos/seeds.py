"""One seed: a stack, a failing S3, workers and orchestrators killed; then the volume must be right.

At last, a stopped run of other slices has a worker that goes on in the volume of the next run.

`python -m tests.chaos --seeds 50` runs many; `--seed 7` runs one again.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import tifffile

from tests.chaos.proxy import Weather, failing
from tests.chaos.stopped import replace_stopped
from tests.flow.conftest import textured, write_stack
from zblocks.planning import blocks

SHARE = 0.05
"""Of requests that fail."""

TRIES = 8
"""Starts after which a seed counts as lost."""

WORKERS = 2

BOTH = ["precomputed", "ome-zarr"]
TILED = {"ext": ".tif"}

SHAPES: list[dict[str, Any]] = [
    {"shape": (150, 70, 90, 1)},
    {"shape": (150, 70, 90, 1), "sharding": True, "voxel_offset": [-3, 5, 7]},
    {"shape": (200, 40, 50, 3), "chunk_size": [32, 32, 16], "voxel_offset": [1, -2, 3]},
    {"shape": (300, 30, 40, 1), "chunk_size": [32, 32, 16], "voxel_resolution": [1, 1, 1]},
    {"shape": (300, 30, 40, 1), "chunk_size": [16, 16, 16], "sharding": True,
     "voxel_resolution": [1, 1, 1]},
    {"shape": (130, 60, 70, 1), "compression": "none", "chunk_size": [32, 32, 8]},
    {"shape": (150, 70, 90, 1), "sharding": True, "voxel_offset": [-3, 5, 7], "format": BOTH},
    {"shape": (100, 40, 50, 3), "chunk_size": [32, 32, 16], "format": "ome-zarr"},
    {"shape": (100, 90, 110, 1), "chunk_size": [16, 16, 8], "voxel_offset": [1, -2, 3], **TILED},
    {"shape": (100, 90, 110, 1), "chunk_size": [16, 16, 8], "sharding": True, "format": BOTH,
     "voxel_offset": [-3, 5, 7], **TILED},
]  # fmt: skip
"""Fields of configs, with the shape (z, y, x, c) of their stacks."""

CUT = """
from zblocks.planning import blocks
blocks.CUT_SECONDS, blocks.CUT_CHUNKS = 0.0, 2
from zblocks.__main__ import main
main()
"""
"""The command, whose blocks of a tiled stack are boxes, as small as possible."""


@dataclass
class Outcome:
    """What a seed went through."""

    seed: int
    starts: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    injected: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    blocks: int = 0
    redone: int = 0
    """Blocks converted again though they were receipted before a kill."""
    in_flight: int = 0
    """Blocks that were begun and lost by kills: at most the workers, each time."""
    trouble: str = ""


class Killer:
    """Kills the run, or one of its workers, after some objects were stored."""

    def __init__(self, chance: random.Random) -> None:
        self._left = chance.randint(3, 40)
        self._whom = chance.choice(["orchestrator", "worker"])
        self.killed = ""
        self.process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def stored(self, _path: str) -> None:
        """Count a stored object; strike when it is time."""
        with self._lock:
            self._left -= 1
            if self._left or self.process is None:
                return
        if self._whom == "orchestrator":
            self.process.kill()
            self.killed = self._whom
            return
        workers = children(self.process.pid)
        if workers:
            os.kill(workers[0], signal.SIGKILL)
            self.killed = self._whom


def children(parent: int) -> list[int]:
    """Return the worker processes of a run , by pid."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit():
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                line = (entry / "cmdline").read_bytes()
                if int(stat[1]) == parent and b"zblocks.run.local.workers" in line:
                    found.append(int(entry.name))
        except OSError:
            continue
    return sorted(found)


class Bucket:
    """What a run left in the emulated S3."""

    def __init__(self, s3: Any, name: str, prefix: str) -> None:
        self._s3, self._name, self._prefix = s3, name, prefix

    def _keys(self) -> list[str]:
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._name, Prefix=f"{self._prefix}/"
        )
        return [o["Key"] for page in pages for o in page.get("Contents", [])]

    def _image(self) -> Bucket:
        """Return the OME-Zarr image beside the volume."""
        return Bucket(self._s3, self._name, f"{self._prefix}.ome.zarr")

    def _body(self, key: str) -> bytes:
        return bytes(self._s3.get_object(Bucket=self._name, Key=key)["Body"].read())

    def volume(self) -> dict[str, bytes]:
        """Return every object of the volume; provenance holds times, the work prefix is no part."""
        cut = len(self._prefix) + 1
        keys = [k for k in self._keys() if "/.zblocks/" not in k and not k.endswith("/provenance")]
        found = {k[cut:]: self._body(k) for k in keys}
        if "zarr.json" in found:  # it names its volume
            named = self._prefix.removesuffix(".ome.zarr").encode()
            found["zarr.json"] = found["zarr.json"].replace(named, b"NAME")
        image = {} if self._prefix.endswith(".ome.zarr") else self._image().volume()
        return found | {f"beside it: {key}": data for key, data in image.items()}

    def receipts(self) -> dict[str, bytes]:
        """Return the receipts of blocks by name."""
        keys = [k for k in self._keys() if "/.zblocks/receipts/block-" in k]
        return {k.rpartition("/")[2]: self._body(k) for k in keys}


def write_config(folder: Path, destination: str, fields: dict[str, Any]) -> Path:
    """Write the config of a seed."""
    rest = {k: v for k, v in fields.items() if k != "shape"}
    document = {
        "source": f"file://{folder}/in",
        "destination": destination,
        "voxel_resolution": [4, 4, 40],
        "chunk_size": [32, 32, 16],
        **rest,
    }
    path = folder / f"{destination.rpartition('/')[2]}.json"
    path.write_text(json.dumps(document))
    return path


def write_slices(folder: Path, fields: dict[str, Any], seed: int) -> None:
    """Write the stack of a seed."""
    voxels = textured(fields["shape"], "uint8", seed=seed)
    if "ext" not in fields:
        write_stack(folder, voxels)
        return
    folder.mkdir()
    for z, plane in enumerate(voxels):
        tifffile.imwrite(folder / f"s_{z:03}.tif", plane[..., 0], tile=(32, 48), compression="zlib")


@contextmanager
def cut_small(fields: dict[str, Any]) -> Iterator[None]:
    """Plan the smallest boxes in this process if the stack of a seed is tiled."""
    small = {"CUT_SECONDS": 0.0, "CUT_CHUNKS": 2} if "ext" in fields else {}
    with mock.patch.multiple(blocks, **small) if small else nullcontext():
        yield


def convert(config: Path, endpoint: str, killer: Killer | None, extra: dict[str, str]) -> int:
    """Run the user's command; its exit code."""
    command = ["-c", CUT] if "ext" in json.loads(config.read_text()) else ["-m", "zblocks"]
    line = [sys.executable, *command, "convert", str(config), "--workers", str(WORKERS)]
    env = {**os.environ, "AWS_ENDPOINT_URL": endpoint, **extra}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(line, env=env, **pipes)  # type: ignore[call-overload]
    if killer:
        killer.process = process
    said, _ = process.communicate(timeout=600)
    if "Traceback" in said:
        raise AssertionError(said[-3000:])
    return int(process.returncode)


def run_seed(seed: int, folder: Path, s3: Any, upstream: str, *, stalls: int = 0) -> Outcome:
    """Go through one seed; `Outcome.trouble` says what is wrong, if anything is."""
    chance, outcome = random.Random(seed), Outcome(seed)
    fields = chance.choice(SHAPES)
    write_slices(folder / "in", fields, seed % 7)
    clean = write_config(folder, f"s3://volumes/clean-{seed}", fields)
    if convert(clean, upstream, None, {}):
        outcome.trouble = "the clean run failed"
        return outcome
    config = write_config(folder, f"s3://volumes/chaos-{seed}", fields)
    spoilt = Bucket(s3, "volumes", f"chaos-{seed}")
    weather = Weather(seed, SHARE, stalls)
    with failing(upstream, weather) as endpoint:
        for start in range(TRIES):
            outcome.starts += 1
            # Two kills at most, so that the last starts can end.
            killer = Killer(chance) if start < 2 else None
            weather.on_put = killer.stored if killer else lambda _path: None
            before = spoilt.receipts()
            code = convert(config, endpoint, killer, _jumping_clock(chance, folder))
            after = spoilt.receipts()
            outcome.redone += sum(after.get(name) != data for name, data in before.items())
            if killer and killer.killed:
                outcome.kills[killer.killed] += 1
                outcome.in_flight += WORKERS
            if code == 0:
                break
            time.sleep(0.3)
        stopped = Bucket(s3, "volumes", f"stopped-{seed}")
        late = _stop(chance, folder, fields, f"s3://volumes/stopped-{seed}", endpoint)
    outcome.injected, outcome.requests = weather.injected, sum(weather.passed.values())
    outcome.kills["worker held, its run stopped"] += 1
    outcome.blocks = len(spoilt.receipts())
    due = Bucket(s3, "volumes", f"clean-{seed}").volume()
    if code:
        outcome.trouble = f"not complete after {TRIES} starts (exit code {code})"
    elif outcome.redone > outcome.in_flight:
        outcome.trouble = f"{outcome.redone} receipted blocks were converted again"
    else:
        outcome.trouble = _odd(spoilt.volume(), due) or late or _odd(stopped.volume(), due)
    return outcome


def _odd(there: dict[str, bytes], due: dict[str, bytes]) -> str:
    odd = sorted(k for k in there.keys() | due.keys() if there.get(k) != due.get(k))
    return f"{len(odd)} objects differ from the clean run's: {odd[:5]}" if odd else ""


def _stop(
    chance: random.Random, folder: Path, fields: dict[str, Any], destination: str, endpoint: str
) -> str:
    """Replace the volume of a stopped run, of other slices, while a worker of it goes on."""
    write_slices(folder / "other", fields, 99)
    new = write_config(folder, destination, fields)
    old = folder / "old.json"
    old.write_text(json.dumps(json.loads(new.read_text()) | {"source": f"file://{folder}/other"}))
    with cut_small(fields):
        return replace_stopped(chance, old, new, endpoint)


def _jumping_clock(chance: random.Random, folder: Path) -> dict[str, str]:
    """Return an environment in which, for one start of three, the clock jumps by hours."""
    if chance.random() > 1 / 3:
        return {}
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text(JUMPS)
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"PYTHONPATH": path, "JUMP_SEED": str(chance.randint(0, 10**6))}


JUMPS = """
import os, random, time
_chance, _real = random.Random(int(os.environ["JUMP_SEED"])), time.time
time.time = lambda: _real() + 3600 * _chance.choice([0, 0, 0, -30, -2, 2, 30])
"""
