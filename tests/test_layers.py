"""Who may import whom: the order of the house, held by reading every import statement."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "lambdas"

LAYERS = {
    0: {
        "credentials", "errors", "geometry", "keylike",
    },
    1: {
        "brightness", "cascade", "config", "config.fields", "config.messages", "config.misfits",
        "config.prices", "config.schema", "config.values", "cost", "doubts", "failure", "framing",
        "memory", "missing", "naming", "planner", "plans", "pooling", "precomputed",
        "precomputed.chunks", "precomputed.decode", "precomputed.info", "precomputed.segment_names",
        "precomputed.shards", "precomputed.unpack", "progress", "pyramid", "reachable", "receipt",
        "report", "report.charts", "report.facts", "report.markup", "report.page",
        "report.pictures", "report.slices", "report.style", "sharing", "slice_stats", "slices",
        "slices.blend", "slices.canvas", "slices.depth", "slices.lists", "slices.manifest",
        "slices.onepage", "slices.page", "slices.pixels", "slices.region", "slices.scale",
        "slices.tiff", "timing", "viewer", "volume",
    },
    2: {
        "slices.filters", "slices.jpeg", "slices.vips", "slices.whole", "storage",
    },
    3: {
        "claim", "contrast", "executions", "finalize", "forecast", "listing", "machine", "perform",
        "prepare", "probe", "reading", "report.document", "report.overview", "report.write",
        "second_reader", "served", "serving", "showing", "sink", "spawning", "standing", "starter",
        "stored", "survey", "tasks", "transfer", "verify", "verify.compare", "verify.crew",
        "verify.documents", "verify.files", "verify.findings", "verify.gaps", "verify.info",
        "verify.loose", "verify.lossy", "verify.raw", "verify.receipts", "verify.scale",
        "verify.segments", "verify.shards", "verify.slices", "verify.spec", "verify.stored",
        "verify.values", "verify.voxels", "watching", "workplace",
    },
    4: {
        "__main__", "api", "cli", "cli.command", "cli.convert", "cli.display", "cli.execution",
        "cli.init", "cli.plan", "cli.verify", "cli.view", "local", "worker",
    },
}  # fmt: skip
LEVEL = {name: level for level, names in LAYERS.items() for name in names}

OUTSIDE_WORLD = {
    "aws_cdk", "aws_lambda_powertools", "boto3", "botocore", "cloudvolume", "logging", "obstore",
    "os", "rich", "socket", "subprocess", "tensorstore", "time", "typer", "urllib",
}  # fmt: skip
"""What a pure module has no business with."""

EXCUSED = {
    ("config", "urllib"),
    ("config.values", "os"),
    ("config.values", "urllib"),
    ("reachable", "urllib"),
    ("viewer", "urllib"),
}  # fmt: skip
"""Text functions only: quoting a url, normalising a path."""

IN_FUNCTIONS = {
    ("slices", "slices.jpeg"),
    ("slices", "slices.vips"),
    ("slices", "slices.whole"),
}
"""The one place that chooses a decoder imports it when a slice is opened."""


def modules(folder):
    for path in sorted((ROOT / folder).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT / folder).with_suffix("").parts)
        yield name.removesuffix(".__init__").replace("__init__", ""), path


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def ours(path, package="zblocks"):
    return {m.removeprefix(f"{package}.") for m in imports(path) if m.startswith(f"{package}.")}


def test_every_module_has_a_layer():
    assert {name for name, _ in modules("zblocks")} - {""} == set(LEVEL)


@pytest.mark.parametrize(("name", "path"), list(modules("zblocks")))
def test_imports_go_down(name, path):
    for other in ours(path):
        if (name, other) in IN_FUNCTIONS or not name:
            continue
        assert LEVEL[other] <= LEVEL[name], f"{name} imports {other}"
        assert not (LEVEL[name] == 2 and LEVEL[other] == 2), f"{name} imports {other}"


@pytest.mark.parametrize(("name", "path"), list(modules("zblocks")))
def test_the_core_is_pure(name, path):
    if LEVEL.get(name, 0) > 1 or not name:
        return
    foreign = {m.split(".")[0] for m in imports(path)} & OUTSIDE_WORLD
    assert {f for f in foreign if (name, f) not in EXCUSED} == set()


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("obstore", {"storage"}),
        (
            "pydantic",
            {"config", "config.fields", "config.messages", "config.prices", "config.values"},
        ),
        (
            "typer",
            {
                "cli.command",
                "cli.convert",
                "cli.execution",
                "cli.init",
                "cli.plan",
                "cli.verify",
                "cli.view",
            },
        ),
        ("rich", {"cli.command", "cli.display", "cli.plan"}),
        ("pyvips", {"precomputed.chunks", "precomputed.decode", "slices.vips"}),
        (
            "simplejpeg",
            {"precomputed.chunks", "precomputed.decode", "report.pictures", "slices.jpeg"},
        ),
        ("isal", {"precomputed.chunks", "sink", "standing"}),
        ("cloudvolume", {"second_reader"}),
        ("aws_lambda_powertools", set()),
        ("aws_cdk", set()),
        ("regex", {"slices.filters"}),
        ("boto3", {"executions", "storage"}),
    ],
)
def test_a_library_has_one_home(library, homes):
    users = {n for n, p in modules("zblocks") if library in {m.split(".")[0] for m in imports(p)}}
    assert users == homes


def test_handlers_know_no_shell():
    for name, path in modules("handlers"):
        assert not {m.split(".")[0] for m in ours(path)} & {"cli", "local", "transfer"}, name


def test_only_the_command_runs_processes_here():
    assert {n for n, p in modules("zblocks") if "local" in ours(p)} <= {"api", "cli.convert"}


def test_infra_and_zblocks_meet_by_name_only():
    for path in (ROOT.parent / "infra").glob("*.py"):
        assert not any(m.startswith(("zblocks", "handlers")) for m in imports(path)), path
