"""`zblocks verify`: is a finished volume sound?"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NoReturn

from zblocks.cli.output import place_of, reporting
from zblocks.config import Config
from zblocks.planning.stores import access_of, open_stores
from zblocks.storage import open_store
from zblocks.verify import Findings, Source, VerifyOptions, verify

EXAMPLES = 3
"""Problems of one kind that are printed."""


def check(
    location: str,
    source: Path | None,
    options: VerifyOptions,
    *,
    requester_pays: bool,
    as_json: bool,
) -> NoReturn:
    """Check a volume and print what is wrong; ends the command with its exit code."""
    with reporting(otherwise=2):
        config = Config.load(source) if source else None
        place = place_of(location)
        store = open_store(place, access_of(config, requester_pays=requester_pays))
        slices = Source(config, open_stores(config, store)) if config else None
        found = verify(store, replace(options, source=slices))
    if as_json:
        print(json.dumps(_as_json(place, options, found)))
    else:
        _print_findings(place, options, found)
    sys.exit(found.code)


def _as_json(place: str, options: VerifyOptions, found: Findings) -> dict[str, Any]:
    """Return what was found, for machines."""
    return {
        "location": place,
        "sound": found.sound,
        "could_not_check": found.unchecked,
        "sample": options.sample,
        "seed": options.seed,
        "problems": [asdict(p) for p in found.problems],
        "counts": found.counts,
        "checked": found.numbers,
        "scales": found.scales,
        "notes": found.notes,
    }


def _print_findings(place: str, options: VerifyOptions, found: Findings) -> None:
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
    checked = ", ".join(f"{number:,} {what}" for what, number in found.numbers.items())
    chosen = f" (a sample of {options.sample} chunks per scale, seed {options.seed})"
    print(f"checked {checked or 'info only'}{chosen if options.sample else ''}")
    words = ("sound", "NOT SOUND", "nothing wrong was found, but not all could be checked")
    print(f"{place}: {words[found.code]}")
