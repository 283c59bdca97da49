"""What runs the pages notices what is wrong with one."""

from __future__ import annotations

import pytest

from .pages import Reader, settle


@pytest.fixture
def reader(tmp_path) -> Reader:
    return settle(tmp_path / "zblocks", {})


def write(folder, text):
    page = folder / "page.md"
    page.write_text(text)
    return page


FENCE = "```"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"# Page\n\n{FENCE}sh\nfalse\n{FENCE}\n", r"page\.md:4: 1"),
        (f"{FENCE}sh\nfalse | cat\n{FENCE}\n", r"page\.md:2: 1"),
        (f"1. List\n\n   {FENCE}sh\n   exit 7\n   {FENCE}\n", r"page\.md:4: 7"),
        (f"<!-- exit code 2 -->\n{FENCE}sh\ntrue\n{FENCE}\n", r"page\.md:3: 0"),
        (f"{FENCE}sh\necho a 1 b\n{FENCE}\n\n{FENCE}text\na 2 c\n{FENCE}\n", r"a 2 c.* isn't in"),
        (f"<!-- runs until Ctrl-C: up -->\n{FENCE}sh\necho down\n{FENCE}\n", "never said 'up'"),
        (f"{FENCE}sh\nmake tea\n{FENCE}\n", r"page\.md:2: 2"),
    ],
    ids=["exit", "pipe", "in a list", "expected exit", "output", "ctrl-c", "no such target"],
)
def test_a_wrong_page_fails_at_its_line(reader, tmp_path, text, said):
    with pytest.raises(AssertionError, match=said):
        reader.follow(write(tmp_path, text))


def test_a_right_page_passes(reader, tmp_path):
    text = f"""{FENCE}sh
export NAME=there
make setup
{FENCE}

{FENCE}sh
echo "hello $NAME 12 times"
{FENCE}

{FENCE}text
hello … 7 times
{FENCE}

<!-- not run: it would fail -->
{FENCE}sh
false
{FENCE}

<!-- exit code 3 -->
{FENCE}sh
exit 3
{FENCE}
"""
    reader.follow(write(tmp_path, text))
