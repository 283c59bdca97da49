"""Imports run downward: a room may import those on the lines below its own, no others."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "lambdas" / "zblocks"

LINES = """
__main__
cli
api
view
verify
run
report
conversion
planning
outputs
config slices precomputed omezarr
storage
neuroglancer
geometry errors host parallel compression
"""
"""The rooms from the top down; those on one line are apart."""


LEVEL = {room: n for n, line in enumerate(LINES.split("\n")[::-1]) for room in line.split()}


def imports(path: Path) -> set[str]:
    """Return the rooms that a module imports, wherever in it the import stands."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = [n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module]
    names += [
        f"{n.module}.{a.name}" for n in nodes if isinstance(n, ast.ImportFrom) for a in n.names
    ]
    names += [a.name for n in nodes if isinstance(n, ast.Import) for a in n.names]
    return {name.split(".")[1] for name in names if name.startswith("zblocks.")} & set(LEVEL)


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_downward(path):
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    if room == "__init__":
        return  # the public names, imported when they are first used
    above = {other for other in imports(path) - {room} if LEVEL[other] >= LEVEL[room]}
    assert not above, f"{path.relative_to(ROOT)} imports {above}, which is not below {room}"
