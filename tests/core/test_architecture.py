"""The files that docs/architecture.md and CONTRIBUTING.md mention exist; no room is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_rooms import LINES
from tests.test_rooms import ROOT as PACKAGE

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PLACES = (ROOT, ROOT / "lambdas", PACKAGE)
"""Where the paths in the pages may start."""

PATH = re.compile(r"`(\.?[\w./-]+(?:\.(?:py|json|md|toml|txt)|/|/run))`")


@pytest.mark.parametrize("page", [ARCHITECTURE, ROOT / "CONTRIBUTING.md"], ids=lambda p: p.name)
def test_every_file_that_a_page_mentions_exists(page):
    text = page.read_text()
    mentioned = [*PATH.findall(text), *re.findall(r"\w[\w/]*/\w+\.py", text)]
    assert len(mentioned) > 10
    absent = {m for m in mentioned if not any((place / m).exists() for place in PLACES)}
    assert absent <= {".zblocks/"}  # of a volume, not of the tree


@pytest.mark.parametrize("room", LINES.split())
def test_every_room_is_in_the_drawing_and_in_the_table(room):
    text = ARCHITECTURE.read_text()
    name = f"{room}/" if (PACKAGE / room).is_dir() else f"{room}.py"
    (drawing,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    assert name in drawing.split()
    assert re.search(rf"^\|.*`{re.escape(name)}`.*\| .* \|$", text, re.MULTILINE)
