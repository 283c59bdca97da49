"""The tables of docs/config.md and docs/formats.md, and the schema, are up to date."""

from __future__ import annotations

import pytest

from tests.formats.outputs import ENCODINGS
from tests.formats.registry import INPUTS
from tests.formats.table import FORMATS, kinds_of
from tests.generated_tables import BEGIN, END, PAGES, SCHEMA, schema, with_tables
from zblocks.config import Config


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_a_pages_tables_are_up_to_date(page):
    text = page.read_text()
    for name in PAGES[page]:
        assert text.count(BEGIN.format(name)) == text.count(END.format(name)) == 1
    assert text == with_tables(page), "run python -m tests.generated_tables"


def test_the_tables_hold_every_field_format_and_encoding():
    text = "".join(page.read_text() for page in PAGES)
    rows = [*(f.alias or name for name, f in Config.model_fields.items()), *ENCODINGS]
    assert [row for row in rows if f"| `{row}` |" not in text] == []
    named = [kind.name for words in FORMATS.values() for kind in kinds_of(words)]
    assert sorted(named) == sorted(INPUTS)


def test_the_schema_is_up_to_date():
    assert SCHEMA.read_text() == schema(), "run python -m tests.generated_tables"
