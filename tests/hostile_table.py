"""Every hostile input once, with its cost: `python -m tests.hostile_table [word …]`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.hostile import CASES, judge, run


def main(words: list[str]) -> int:
    """Run the cases whose names hold one of the words; all, without any."""
    chosen = [c for c in CASES if not words or any(w in c.name for w in words)]
    failed, rows = 0, []
    for one in chosen:
        with tempfile.TemporaryDirectory() as folder:
            ended = run(one, Path(folder))
            wrong = judge(one, ended, Path(folder))
        failed += bool(wrong)
        rows.append((one.name, ended))
        print(f"{one.name:44} {ended.peak_mb:5} MiB {ended.seconds:6.2f} s  {one.error or 'done'}")
        if wrong:
            print(f"    WRONG: {'; '.join(wrong)}\n    {ended.text[:600]}")
    by_memory = max(rows, key=lambda r: r[1].peak_mb)
    by_time = max(rows, key=lambda r: r[1].seconds)
    print(
        f"{len(rows)} hostile inputs, {failed} ended wrongly; worst peak {by_memory[1].peak_mb} "
        f"MiB ({by_memory[0]}), worst time {by_time[1].seconds:.1f} s ({by_time[0]})"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
