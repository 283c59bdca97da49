"""Layers fit into Lambda, and hold what the functions import."""

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra import layers
from infra.layers import (
    MOST_BYTES,
    LayerError,
    Target,
    build_layer,
    folder_bytes,
    layer_key,
    locked,
    pip_options,
    refuse_above,
    strip,
)
from infra.lock import IN_RUNTIME, UNUSED
from infra.settings import host_architecture

ROOT = Path(__file__).parents[2]
WORKER_LIMIT = 160_000_000
NAMES = ("worker", "finalize")
TARGETS = [Target("arm64", "python3.13"), Target("x86_64", "python3.13")]
IMPORTS = {
    "worker": ["handlers.plan", "handlers.worker", "numpy", "simplejpeg",
               "isal.igzip", "pyvips", "zblocks.slices.vips", "zblocks.slices.jpeg",
               "zblocks.slices.whole", "backports.zstd"],
    "finalize": ["handlers.finalize", "numpy", "simplejpeg", "isal.igzip", "cloudvolume", "pyvips"],
}  # fmt: skip
"""What the functions that have the layer import, at once or later."""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.architecture)
@pytest.mark.parametrize(("name", "limit"), [("worker", WORKER_LIMIT), ("finalize", MOST_BYTES)])
def test_a_layer_with_the_code_stays_below_its_limit(name, limit, target):
    layer = build_layer(name, target)
    assert folder_bytes(layer) < limit
    assert folder_bytes(layer) + folder_bytes(ROOT / "lambdas") <= MOST_BYTES
    for package in (*IN_RUNTIME, *UNUSED):
        assert not [*layer.glob(f"python/{package.replace('-', '_')}-*.dist-info")], package


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.architecture)
@pytest.mark.parametrize("name", NAMES)
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
@pytest.mark.parametrize("name", NAMES)
def test_what_the_functions_import_is_in_the_layer(name, tmp_path):
    here = f"python{sys.version_info.major}.{sys.version_info.minor}"
    layer = build_layer(name, Target(host_architecture(), here, host=True))
    roots = [str(layer / "python"), str(ROOT / "lambdas")]
    runtime = in_runtime(tmp_path / "runtime")
    code = (
        f"import importlib, json, sys; sys.path[:0] = {[*roots, runtime]!r}\n"
        f"modules = [importlib.import_module(name) for name in {IMPORTS[name]!r}]\n"
        "print(json.dumps([module.__file__ for module in modules]))"
    )
    # -I and -S: nothing but these, and the standard library.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", code],
        capture_output=True, text=True, check=False,
        env={"HOME": str(tmp_path), "CLOUD_VOLUME_DIR": str(tmp_path / "cv")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    files = json.loads(done.stdout.splitlines()[-1])
    assert [file for file in files if not file.startswith(tuple(roots))] == []


def in_runtime(folder: Path) -> str:
    """What Lambda's runtime has, out of what the tests have."""
    folder.mkdir()
    for package in IN_RUNTIME:
        distribution = importlib.metadata.distribution(package)
        for top in {Path(file).parts[0] for file in distribution.files or ()} - {
            "..",
            "__pycache__",
        }:
            (folder / top).symlink_to(distribution.locate_file(top))
    return str(folder)


@pytest.mark.parametrize("name", NAMES)
def test_a_lock_file_has_each_pin_with_hashes_and_nothing_that_is_there_or_unused(name):
    """`make locks` writes them."""
    entries = locked(ROOT / f"requirements/{name}.lock")
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries.values())
    assert not {*IN_RUNTIME, *UNUSED} & set(entries)
    versions = {each: entry.split()[0].partition("==")[2] for each, entry in entries.items()}
    lines = (ROOT / f"requirements/{name}.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert pins == {each: versions.get(each.replace(".", "-")) for each in pins}


def test_both_layers_have_the_same_versions_as_each_other():
    worker, finalize = (locked(ROOT / f"requirements/{name}.lock") for name in NAMES)
    both = set(worker) & set(finalize)
    assert len(both) > 10
    assert {each: worker[each] for each in both} == {each: finalize[each] for each in both}


def test_a_package_that_is_not_the_locked_one_is_refused(tmp_path, monkeypatch):
    name = "jinja2==3.1.6"
    (tmp_path / "worker.lock").write_text(f"{name} \\\n    --hash=sha256:{'0' * 64}\n")
    monkeypatch.setattr(layers, "REQUIREMENTS", tmp_path)
    monkeypatch.setattr(layers, "CACHE", tmp_path / "cache")
    with pytest.raises(LayerError, match="pip failed"):
        build_layer("worker", Target(host_architecture(), "here", host=True))
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


def test_a_layer_that_lambda_could_not_unpack_is_refused_with_what_is_large_in_it(tmp_path):
    for package, size in (("vast", 3_000_000), ("large", 2_000_000), ("little", 9)):
        (tmp_path / "python" / package).mkdir(parents=True)
        (tmp_path / "python" / package / "core.py").write_bytes(bytes(size))
    code = folder_bytes(ROOT / "lambdas")
    refuse_above(code + 5_000_009, "worker", tmp_path)
    with pytest.raises(LayerError, match=r"layer worker: .* the largest, in MB: vast 3, large 2"):
        refuse_above(code + 5_000_008, "worker", tmp_path)
    assert MOST_BYTES < 250 << 20


def test_the_key_changes_with_the_target_and_the_requirements_only():
    keys = {layer_key(name, target) for name in NAMES for target in TARGETS}
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
