"""Every page's commands end as it says, and the pages are complete and point to what is there."""

from __future__ import annotations

import dataclasses
import json
import re
from importlib.util import find_spec

import pytest

from infra.settings import Settings, read_settings

from .pages import ROOT, blocks_of

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
DEPLOYED = "deploying.md"
FIRST = "first-volume.md"
FIGURES = {
    "bench.md": "its tables are made by `make bench`, a quarter of an hour a round",
    "reliability.md": "its figures are made by the tests and long runs that it names",
    "scaling.md": "made whole by benchmarks.scaling: tests/core/test_scaling.py",
}
"""Pages of figures: what made them takes too long to be run for a page."""
NOT_RUN = 3
"""Blocks of all pages that may be left out, each with its reason."""


def test_the_first_volume(reader):
    """The page is run by the fixture; here is what it leaves."""
    assert (reader.folder / "slices").is_dir()
    assert "sound" in reader.run_line("zblocks verify s3://my-volumes/brain --source bucket.json")


@pytest.mark.parametrize(
    "page", [p for p in PAGES if p.name not in (DEPLOYED, FIRST, *FIGURES)], ids=lambda p: p.stem
)
def test_the_commands_of_a_page(page, reader):
    reader.follow(page)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_commands_of_deploying(deployer):
    deployer.follow(DOCS / DEPLOYED)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_a_page_has_commands_that_are_run(page):
    assert page.name in FIGURES or any(block.is_run for block in blocks_of(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_json_in_a_page_is_json(page):
    for block in blocks_of(page):
        if block.kind == "json":
            json.loads(block.text)


def test_few_blocks_are_left_out():
    left = [b for page in PAGES for b in blocks_of(page) if b.kind == "sh" and not b.is_run]
    assert len(left) <= NOT_RUN
    assert all(len(b.note) > len("not run: ") for b in left)


def test_the_context_values_are_those_of_the_settings():
    """Each in the table, with the default that holds."""
    text = (DOCS / DEPLOYED).read_text()
    rows = re.findall(r"^\| `(\w+)` \| ?(.*?) ?\| .* \|$", text, re.MULTILINE)
    names = [name for name, _ in rows]
    assert sorted(names) == sorted(f.name for f in dataclasses.fields(Settings) if f.name != "host")
    given = {"destination_bucket": "volumes", "source_buckets": "slices"}
    found = read_settings(given.get)
    for name, shown in rows:
        if default := re.fullmatch(r"`(.*)`", shown):
            value = getattr(found, name)
            words = value if isinstance(value, tuple) else (value,)
            assert default[1] == ",".join(str(w) for w in words).replace("True", "true").replace(
                "False", "false"
            )


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda p: p.stem)
def test_what_a_page_points_to_is_there(page):
    text = page.read_text()
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^|`)make (\w+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"
    for module in re.findall(r"python -m ([\w.]+)", text):
        assert find_spec(module), module
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in link:
            name, _, part = link.partition("#")
            aim = page.parent / name if name else page
            assert aim.exists(), link
            assert not part or part in anchors(aim.read_text()), link


def anchors(text: str) -> set[str]:
    """What headings are called in links, as GitHub makes it."""
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head).lower().replace(" ", "-") for head in heads}


def test_the_readme_links_every_page():
    text = (ROOT / "README.md").read_text()
    assert [p.name for p in PAGES if f"docs/{p.name}" not in text] == []
