"""Layers fit into Lambda, and hold what the functions import."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from infra.layers import Target, build_layer, layer_key, pip_options, strip
from infra.settings import host_architecture

ROOT = Path(__file__).parents[2]
LAMBDA_LIMIT = 250_000_000
"""Bytes, of a function's code and layers, unpacked; Lambda's 250 MB read strictly."""
WORKER_LIMIT = 160_000_000
TARGETS = [Target("arm64", "python3.13"), Target("x86_64", "python3.13")]
IMPORTS = {
    "worker": ["handlers.plan", "handlers.block", "handlers.coarse", "numpy", "simplejpeg",
               "isal.igzip", "pyvips", "zblocks.slices.vips", "zblocks.slices.jpeg",
               "zblocks.slices.whole", "backports.zstd", "openjpeg.utils"],
    "finalize": ["handlers.finalize", "numpy", "simplejpeg", "isal.igzip", "cloudvolume", "pyvips"],
}  # fmt: skip
"""What the functions that have the layer import, at once or later."""


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.architecture)
@pytest.mark.parametrize(("name", "limit"), [("worker", WORKER_LIMIT), ("finalize", LAMBDA_LIMIT)])
def test_a_layer_with_the_code_stays_below_its_limit(name, limit, target):
    layer = build_layer(name, target)
    assert folder_bytes(layer) < limit
    assert folder_bytes(layer) + folder_bytes(ROOT / "lambdas") < LAMBDA_LIMIT


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.architecture)
@pytest.mark.parametrize("name", ["worker", "finalize"])
def test_every_binary_is_for_the_target(name, target):
    layer = build_layer(name, target)
    machine = {"arm64": b"\xb7\x00", "x86_64": b"\x3e\x00"}[target.architecture]
    binaries = [path for path in layer.rglob("*") if ".so" in path.suffixes]
    assert binaries
    for path in binaries:
        with path.open("rb") as file:
            header = file.read(20)
        assert header[:4] == b"\x7fELF", path
        assert header[18:20] == machine, path


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["worker", "finalize"])
def test_what_the_functions_import_is_in_the_layer(name, tmp_path):
    here = f"python{sys.version_info.major}.{sys.version_info.minor}"
    layer = build_layer(name, Target(host_architecture(), here, host=True))
    roots = [str(layer / "python"), str(ROOT / "lambdas")]
    code = (
        f"import importlib, json, sys; sys.path[:0] = {roots!r}\n"
        f"modules = [importlib.import_module(name) for name in {IMPORTS[name]!r}]\n"
        "print(json.dumps([module.__file__ for module in modules]))"
    )
    # -I and -S: nothing but the layer, the code, and the standard library.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", code],
        capture_output=True, text=True, check=False,
        env={"HOME": str(tmp_path), "CLOUD_VOLUME_DIR": str(tmp_path / "cv")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    files = json.loads(done.stdout.splitlines()[-1])
    assert [file for file in files if not file.startswith(tuple(roots))] == []


def test_the_key_changes_with_the_target_and_the_requirements_only():
    keys = {layer_key(name, target) for name in ("worker", "finalize") for target in TARGETS}
    assert len(keys) == 4
    assert layer_key("worker", TARGETS[0]) == layer_key("worker", Target("arm64", "python3.13"))


def test_pip_is_told_every_tag_that_lambda_can_load():
    options = pip_options(Target("arm64", "python3.13"))
    assert "--only-binary=:all:" in options
    assert {"manylinux2014_aarch64", "manylinux_2_24_aarch64", "manylinux_2_34_aarch64"} < set(
        options
    )
    older = pip_options(Target("x86_64", "python3.11"))
    assert "manylinux_2_26_x86_64" in older
    assert "manylinux_2_28_x86_64" not in older


def test_tests_and_headers_go_and_code_and_licences_stay(tmp_path):
    kept = ["python/a/core.py", "python/a.libs/x.so", "python/a-1.dist-info/licenses/LICENSE"]
    gone = ["python/a/tests/t.py", "python/a/core.pyi", "python/a/include/a.h", "python/bin/tool"]
    for name in kept + gone:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    strip(tmp_path)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()) == (
        sorted(kept)
    )
