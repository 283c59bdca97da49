"""What is made from the config's fields, the README's table and the schema in docs/:
`python -m tests.readme_table`."""

from __future__ import annotations

import json
import re
from pathlib import Path

from zblocks.config import Config
from zblocks.config.schema import config_schema

README = Path(__file__).resolve().parents[1] / "README.md"
SCHEMA = README.parent / "docs" / "config.schema.json"
BEGIN = "<!-- config table: begin (python -m tests.readme_table) -->"
END = "<!-- config table: end -->"


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


def with_table(text: str) -> str:
    """Return the README with the table as it should be."""
    pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
    return re.sub(pattern, lambda _: f"{BEGIN}\n{table()}\n{END}", text, flags=re.DOTALL)


def schema() -> str:
    """Return the schema's file."""
    return json.dumps(config_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
    SCHEMA.write_text(schema())
