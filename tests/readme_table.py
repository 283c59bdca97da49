"""What is made from the config's fields and the registries of formats: the README's tables and the
schema in docs/: `python -m tests.readme_table`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.formats.table import formats_table
from zblocks.config import Config
from zblocks.config.schema import config_schema

README = Path(__file__).resolve().parents[1] / "README.md"
SCHEMA = README.parent / "docs" / "config.schema.json"
BEGIN = "<!-- config table: begin (python -m tests.readme_table) -->"
END = "<!-- config table: end -->"
FORMATS_BEGIN = "<!-- formats table: begin (python -m tests.readme_table) -->"
FORMATS_END = "<!-- formats table: end -->"


def table() -> str:
    """Return the table."""
    rows = ["| field | default | meaning |", "|---|---|---|"]
    for name, info in Config.model_fields.items():
        default = info.get_default()
        shown = "" if info.is_required() or default in (None, "") else f"`{default}`"
        meaning = (info.description or "").replace("|", "\\|").replace("<", "\\<")
        rows.append(f"| `{info.alias or name}` | {shown} | {meaning} |")
    return (
        "\n".join(rows)
        .replace("`False`", "`false`")
        .replace("`True`", "`true`")
        .replace("`(0, 0, 0)`", "`[0, 0, 0]`")
    )


def with_tables(text: str) -> str:
    """Return the README with the tables as they should be."""
    for begin, end, made in (
        (BEGIN, END, table()),
        (FORMATS_BEGIN, FORMATS_END, formats_table()),
    ):
        head, _, rest = text.partition(begin)
        text = f"{head}{begin}\n{made}\n{end}{rest.partition(end)[2]}"
    return text


def schema() -> str:
    """Return the schema's file."""
    return json.dumps(config_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text()))
    SCHEMA.write_text(schema())
