"""`import zblocks`: plan and convert from a script or a notebook, as from the command."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorstore

import zblocks as api
from tests.flow.conftest import textured, write_stack, zblocks


def run(script: str, folder: Path) -> subprocess.CompletedProcess:
    """Run a script of the user's."""
    path = folder / "script.py"
    path.write_text(script)
    return subprocess.run(
        [sys.executable, path.name], cwd=folder, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip


def volume(folder: Path) -> np.ndarray:
    """Return scale 0 (z, y, x, c)."""
    spec = {"driver": "neuroglancer_precomputed", "kvstore": f"file://{folder}/"}
    return tensorstore.open(spec, open=True).result().read().result().transpose(2, 1, 0, 3)


@pytest.fixture
def stack(tmp_path):
    return write_stack(tmp_path / "in", textured((5, 40, 50, 1), "uint8"))


@pytest.fixture
def fields(tmp_path):
    return {
        "folder_to_convert_from": "in",
        "folder_to_convert_to": "out",
        "voxel_resolution": [4, 4, 40],
        "compression": "none",
    }


@pytest.mark.parametrize("kind", ["path", "text", "dict", "Config"])
def test_a_config_may_be_a_path_a_dict_or_a_config(tmp_path, stack, fields, kind, monkeypatch):
    """Relative paths: from the file's folder, or from the current one."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(fields))
    monkeypatch.chdir(tmp_path if kind == "dict" else "/")
    given = {
        "path": path, "text": str(path), "dict": fields, "Config": api.Config.load(path),
    }[kind]  # fmt: skip
    seen = []
    ending = api.convert(given, workers=1, observe=seen.append)
    assert (ending.status, ending.location) == ("COMPLETE", f"file://{tmp_path}/out")
    assert seen[-1].settled
    np.testing.assert_array_equal(volume(tmp_path / "out"), stack)


def test_plan_says_what_the_command_says_and_writes_nothing(tmp_path, stack, fields, write_config):
    config = write_config(**fields, source=None, destination=None)
    before = sorted(tmp_path.rglob("*"))
    said = api.plan(config, workers=3, memory_mb=500)
    assert sorted(tmp_path.rglob("*")) == before
    command = zblocks("plan", config, "--json", "--concurrency", "3", "--memory", "500")
    assert json.loads(json.dumps(said.as_json())) == command.json
    assert (said.dollars, said.bill.lines, said.warnings, said.refusals) == (0, (), (), ())
    assert said.seconds > 0
    assert said.scales[0].box.shape == said.plan.box.shape == (50, 40, 5)
    assert said.in_buckets.dollars > 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        said.resumes = True


def test_between_buckets_plan_counts_lambdas(tmp_path, stack, cloud, monkeypatch):
    cloud.upload(tmp_path / "in", "slices", "s/")
    prices = tmp_path / "prices.json"
    prices.write_text('{"put_thousand": 1000}')
    config = {
        "source": "s3://slices/s", "destination": "s3://volumes/v", "voxel_resolution": [4, 4, 40],
    }  # fmt: skip
    said = api.plan(config, workers=7, architecture="x86_64", prices=prices)
    assert (said.pool.concurrency, said.pool.architecture, said.pool.cloud) == (
        7,
        "x86_64",
        True,
    )
    assert said.in_buckets is None
    assert said.dollars > 1
    assert cloud.keys("volumes") == set()
    refused = api.plan(config | {"max_cost_usd": 1e-6})
    assert refused.refusals[0].startswith("CostCeiling: ")
    with pytest.raises(api.CostCeiling):
        api.convert(config | {"max_cost_usd": 1e-6})


def test_errors_are_those_of_the_command(tmp_path, stack, fields, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        api.InvalidConfig, match='"voxel_size": no such field; did you mean'
    ) as found:
        api.plan({**fields, "voxel_size": [1, 1, 1]})
    assert isinstance(found.value, api.ZblocksError)
    with pytest.raises(api.SliceListError, match="no slices found"):
        api.convert({**fields, "ext": ".jpg"})
    with pytest.raises(api.InvalidConfig, match="config: found a list; give the path"):
        api.plan([fields])
    with pytest.raises(api.InvalidConfig, match="workers: found 0; give a whole number from 1"):
        api.convert(fields, workers=0)
    assert not (tmp_path / "out").exists()
    assert api.convert(fields, workers=1).status == "COMPLETE"
    with pytest.raises(api.DestinationConflict, match="a different volume"):
        api.convert({**fields, "voxel_resolution": [5, 5, 40]}, workers=1)


def test_a_script_needs_no_main_guard(tmp_path, stack, fields):
    """Its own processes are left alone, and so is its environment."""
    script = (
        "import multiprocessing, os, sys, time, zblocks\n"
        "print('imported')\n"
        "own = multiprocessing.get_context('fork').Process(target=time.sleep, args=(300,))\n"
        "own.start()\n"
        "before = dict(os.environ)\n"
        f"ending = zblocks.convert({fields!r}, workers=2)\n"
        "print(ending.status, own.is_alive(), dict(os.environ) == before)\n"
        "print(sys.modules['__main__'].ending is ending)\n"
        "own.kill()\n"
    )
    done = run(script, tmp_path)
    assert done.stderr == ""
    assert done.stdout.split() == ["imported", "COMPLETE", "True", "True", "True"]
    np.testing.assert_array_equal(volume(tmp_path / "out"), stack)


def test_the_report_of_a_failure_says_how_to_go_on_from_python(tmp_path, stack, fields):
    bad = tmp_path / "in" / "s_003.png"
    bad.write_bytes(bad.read_bytes()[:-200])
    with pytest.raises(api.IncompleteVolume, match="s_003"):
        api.convert(api.Config.parse(fields, base=tmp_path), workers=1)
    report = json.loads((tmp_path / "out/.zblocks/report.json").read_text())
    assert report["resume"] == "call zblocks.convert again"


def test_importing_is_light_and_names_are_all_there(tmp_path):
    script = (
        "import sys, zblocks\n"
        "heavy = {'numpy', 'pydantic', 'obstore', 'boto3', 'pyvips', 'PIL', 'typer', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "assert set(zblocks.__all__) <= set(dir(zblocks))\n"
        "from zblocks import *\n"
        "print(convert.__module__, plan.__module__, Config.__module__, Ending, Forecast, State)\n"
        "import zblocks.planning.plan, zblocks.verify\n"
        "assert zblocks.plan is plan and zblocks.convert is convert\n"
        "zblocks.nothing\n"
    )
    done = run(script, tmp_path)
    assert done.stdout.splitlines()[0] == "[]"
    assert "zblocks.api zblocks.api zblocks.config" in done.stdout
    assert (
        done.stderr.splitlines()[-1]
        == "AttributeError: module 'zblocks' has no attribute 'nothing'"
    )


def test_types_are_seen_from_outside(tmp_path):
    """mypy, in a user's own project."""
    script = tmp_path / "typed.py"
    script.write_text(
        "import zblocks\n"
        "reveal_type(zblocks.plan('c.json').dollars)\n"
        "reveal_type(zblocks.convert({'ext': '.tif'}).location)\n"
        "zblocks.convert(3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--config-file", os.devnull,
         "--follow-imports", "silent", script.name],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "MYPYPATH": str(Path(api.__file__).parents[1])},
    )  # fmt: skip
    assert '2: note: Revealed type is "float"' in done.stdout.replace("builtins.", "")
    assert '3: note: Revealed type is "str"' in done.stdout.replace("builtins.", "")
    assert "4: error: Argument 1" in done.stdout
