"""`zblocks verify`: is a finished volume sound?"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

from zblocks import verify as checks
from zblocks.api import keys_of
from zblocks.cli.output import place_of, reporting
from zblocks.config import Config
from zblocks.verify import Wanted
from zblocks.verify.findings import Findings

EXAMPLES = 3
"""Problems of one kind that are printed."""


def check(location: str, source: Path | None, wanted: Wanted, *, as_json: bool) -> NoReturn:
    """Check a volume and print what is wrong; ends the command with its exit code."""
    with reporting(otherwise=2):
        job = Config.load(source) if source else None
        place = place_of(location)
        found = checks.verify(place, replace(wanted, source=job), keys_of(job))
    if as_json:
        print(json.dumps(_as_json(place, wanted, found)))
    else:
        _print_findings(place, wanted, found)
    sys.exit(found.code)


def _as_json(place: str, wanted: Wanted, found: Findings) -> dict[str, Any]:
    """Return what was found, for machines."""
    return {
        "location": place,
        "sound": found.sound,
        "could_not_check": found.unchecked,
        "sample": wanted.sample,
        "seed": wanted.seed,
        "problems": [asdict(p) for p in found.problems],
        "counts": found.counts,
        "checked": found.numbers,
        "scales": found.scales,
        "notes": found.notes,
    }


def _print_findings(place: str, wanted: Wanted, found: Findings) -> None:
    """Print what was found, for people: the first of each kind."""
    for kind, count in found.counts.items():
        some = [p for p in found.problems if p.kind == kind][:EXAMPLES]
        print(f"{kind}: {count}")
        for problem in some:
            print(f"  {problem.place} {problem.message}; {problem.remedy}")
        if count > len(some):
            print(f"  … and {count - len(some)} more (--json names them)")
    for text in found.unchecked:
        print(f"could not check: {text}")
    for note in found.notes:
        print(f"note: {note}")
    looked = ", ".join(f"{number:,} {what}" for what, number in found.numbers.items())
    chosen = f" (a sample of {wanted.sample} chunks a scale, seed {wanted.seed})"
    print(f"looked at {looked or 'info only'}{chosen if wanted.sample else ''}")
    words = ("sound", "NOT SOUND", "nothing wrong is found, but not all could be checked")
    print(f"{place}: {words[found.code]}")
