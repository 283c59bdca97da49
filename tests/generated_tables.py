"""The tables in docs/config.md and docs/formats.md, and the schema in docs/.

`python -m tests.generated_tables` writes them from the config's fields and the format registries.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.formats.table import chunks_table, slices_table
from zblocks.config import Config
from zblocks.config.fields import config_schema

DOCS = Path(__file__).resolve().parents[1] / "docs"
SCHEMA = DOCS / "config.schema.json"
BEGIN = "<!-- {} table: begin (python -m tests.generated_tables) -->"
END = "<!-- {} table: end -->"


def fields_table() -> str:
    """Return a row for each field of the config."""
    rows = ["| field | default | meaning |", "|---|---|---|"]
    for name, info in Config.model_fields.items():
        default = info.get_default()
        shown = "" if info.is_required() or default in (None, "") else f"`{json.dumps(default)}`"
        meaning = (info.description or "").replace("|", "\\|").replace("<", "\\<")
        rows.append(f"| `{info.alias or name}` | {shown} | {meaning} |")
    return "\n".join(rows)


PAGES = {
    DOCS / "config.md": {"fields": fields_table},
    DOCS / "formats.md": {"slices": slices_table, "chunks": chunks_table},
}
"""The tables of each page, by the name in their marks."""


def with_tables(page: Path) -> str:
    """Return the text of a page with its tables as they should be."""
    text = page.read_text()
    for name, table in PAGES[page].items():
        begin, end = BEGIN.format(name), END.format(name)
        head, _, rest = text.partition(begin)
        text = f"{head}{begin}\n{table()}\n{end}{rest.partition(end)[2]}"
    return text


def schema() -> str:
    """Return the text of the schema's file."""
    return json.dumps(config_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(with_tables(path))
    SCHEMA.write_text(schema())
