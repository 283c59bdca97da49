"""`pip install` of the wheel gives the command, the module and its types."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.flow.conftest import textured, write_stack

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

PULLED_IN = {"botocore": "boto3", "cloudfiles": "cloud-volume", "markupsafe": "jinja2"}
"""Libraries that come with another one, always."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build it from a copy: what an earlier build left behind is no part of it."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "lambdas", source / "lambdas", ignore=ignored)
    pip("wheel", source, "--no-deps", "--no-build-isolation", "--wheel-dir", out)
    (built,) = out.glob("zblocks-*.whl")
    return built


def pip(*arguments):
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*command, *map(str, arguments)], check=True, timeout=200)


def test_the_wheel_gives_the_command(wheel, tmp_path, write_config):
    """In an environment of its own, which sees this one's libraries."""
    home = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    pip("--python", home, "install", "--no-deps", "--no-index", wheel)
    write_stack(tmp_path / "in", textured((3, 40, 50, 1), "uint8"))
    config = write_config()
    env = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib")}

    def run(name, *arguments):
        command = [home / "bin" / name, *map(str, arguments)]
        return subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True, timeout=100
        ).stdout

    assert run("zblocks", "--version") == f"zblocks {PROJECT['version']}\n"
    assert "50×40×3 uint8" in run("zblocks", "plan", config)
    script = "import zblocks; print(zblocks.__file__); zblocks.convert('config.json', workers=1)"
    assert run("python", "-c", script).startswith(str(home))
    assert "COMPLETE" in run("zblocks", "convert", config)


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {n for n in archive.namelist() if ".dist-info/" not in n}
        (meta,) = [n for n in archive.namelist() if n.endswith("/METADATA")]
        text = archive.read(meta).decode()
    folder = ROOT / "lambdas"
    there = {str(p.relative_to(folder)) for p in (folder / "zblocks").rglob("*") if p.is_file()}
    assert names == {n for n in there if "__pycache__" not in n}
    assert "zblocks/py.typed" in names
    assert "\n# zblocks\n" in text
    for line in ("Name: zblocks", "Requires-Python: >=3.11", "Classifier: Typing :: Typed"):
        assert line in text


def foreign():
    """Name the distributions that zblocks imports from."""
    found = set()
    for path in (ROOT / "lambdas/zblocks").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                parts = node.module.split(".")
                found.add(".".join(parts[:2]) if parts[0] == "backports" else parts[0])
    return found - set(sys.stdlib_module_names) - {"zblocks"}


def named(requirement):
    return re.split(r"[<>=\[; ]", requirement)[0].lower().replace("_", "-").replace(".", "-")


def test_every_import_is_declared():
    """Those that only some commands need are extras."""
    extras = PROJECT["optional-dependencies"]
    declared = {named(r) for some in (PROJECT["dependencies"], *extras.values()) for r in some}
    homes = packages_distributions()
    missing = {}
    for module in foreign():
        name = PULLED_IN.get(module)
        names = {name} if name else {named(n) for n in homes.get(module.split(".")[0], [module])}
        if not names & declared:
            missing[module] = names
    assert missing == {}


def test_the_workers_pins_satisfy_what_is_declared():
    """The layer has all but what the command line and the report need, at allowed versions."""
    from packaging.requirements import Requirement

    lines = (ROOT / "requirements/worker.txt").read_text().splitlines()
    pins = dict(r.split("==") for r in lines if "==" in r)
    pins = {named(name): version for name, version in pins.items()}
    wanted = {named(r): Requirement(r) for r in PROJECT["dependencies"]}
    for name in set(pins) & set(wanted):
        assert wanted[name].specifier.contains(pins[name]), name
    elsewhere = {"boto3", "jinja2", "mmh3", "rich", "starlette", "typer", "uvicorn"}
    assert set(wanted) - set(pins) == elsewhere
    assert set(pins) - set(wanted) == {"aws-lambda-powertools"}
