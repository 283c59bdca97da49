"""Each row of docs/aws-assumptions.md says where AWS states the rule, and which test holds it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "aws-assumptions.md"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.read_text().splitlines()
    if line.startswith("| ")
][1:]


def test_there_are_rows():
    assert len(ROWS) > 1


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:40])
def test_a_rule_names_aws_and_a_test_that_exists(row):
    _rule, said, does, held = row
    assert re.search(r"\]\(https://docs\.aws\.amazon\.com/\S+\)", said) or "unconfirmed" in said
    assert does
    tests = re.findall(r"`(tests/\S+\.py)::(\w+)`", held)
    assert tests
    for path, name in tests:
        defined = ast.walk(ast.parse((ROOT / path).read_text()))
        assert name in {n.name for n in defined if isinstance(n, ast.FunctionDef)}, path
