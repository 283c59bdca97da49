"""What `zblocks convert` does, in this process: for tests of hundreds of small stacks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.formats.registry import DEPTH, HEIGHT, WIDTH, InputKind
from tests.references import read_info, read_tensorstore
from zblocks.config import Config
from zblocks.conversion.tasks import convert_block, convert_coarse
from zblocks.planning.plan import Plan, plan_to_json
from zblocks.planning.time import Worker
from zblocks.run.finalize import finalize
from zblocks.run.job import PLAN, open_workplace
from zblocks.run.start import Run, prepare


def write_kind(folder: Path, kind: InputKind) -> list[Path]:
    """Write a stack; return its files."""
    folder.mkdir()
    planes = kind.planes()
    if kind.stack:
        path = folder / f"stack{kind.extension}"
        kind.write(path, planes)
        return [path]
    paths = [folder / f"s_{z}{kind.extension}" for z in range(DEPTH)]
    for path, plane in zip(paths, planes, strict=True):
        kind.write(path, plane)
    return paths


def held(paths: list[Path], by: Callable[[Path], np.ndarray]) -> np.ndarray:
    """Return what a stack's files hold by a reader that isn't ours, (z, y, x, c)."""
    planes = by(paths[0]) if len(paths) == 1 else np.stack([by(path) for path in paths])
    return planes.reshape(DEPTH, HEIGHT, WIDTH, -1)


def convert(config: Config, rows: int | None = None) -> Plan:
    """Convert; return the plan."""
    prepared = prepare(config, Worker(2000), Run())
    plan = prepared.plan
    work = open_workplace(config.destination)
    if rows:  # as in a worker too small for whole slices
        work.target.put_json(PLAN, plan_to_json(dataclasses.replace(plan, rows=rows)))
        work = open_workplace(config.destination)
    for task in prepared.due:
        convert_block(work, task)
    for stage in plan.stages():
        for index in stage:
            convert_coarse(work, work.plan.coarse[index])
    finalize(work, Run())
    return plan


def read(folder: Path) -> tuple[dict[str, Any], np.ndarray]:
    """Return a volume's info and scale 0, (z, y, x, c)."""
    info = read_info(folder)
    return info, read_tensorstore({"driver": "file", "path": f"{folder}/"}, info)[0]
