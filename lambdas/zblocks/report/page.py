"""The page itself: what a run made, in one file that asks for nothing.

Structure: status and facts; what went wrong; slices; pictures; brightness; blocks; bill; config. It
has no script, and forbids itself to load anything.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from zblocks.planning.plan import Plan, block_name
from zblocks.report import slices
from zblocks.report.charts import bars
from zblocks.report.facts import Facts
from zblocks.report.markup import (
    ROWS,
    Html,
    Value,
    chart,
    details,
    duration,
    items,
    left_out,
    legend,
    number,
    plural,
    section,
    short,
    size,
    span,
    table,
    tag,
)
from zblocks.report.run_report import FailedTask
from zblocks.report.style import CSS

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'"
)
"""Content Security Policy: pictures and style of the page itself, and nothing else."""

CONFIG_CHARACTERS = 2_000
"""Of each of the config's values."""

FEW = 12
"""Rows of a table that is open from the beginning."""


def render(facts: Facts) -> str:
    """Return the page, HTML."""
    body = tag(
        "main",
        _head(facts),
        _tiles(facts),
        _trouble(facts),
        *slices.sections(facts),
        _blocks(facts),
        _bill(facts),
        _made(facts),
        _foot(facts),
    )
    title = f"{_name(facts)}: {facts.report.status}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer"><link rel="icon" href="data:,">'
        f"{tag('title', title)}<style>{CSS}</style></head><body>{body}</body></html>\n"
    )


def _name(facts: Facts) -> str:
    """Return the volume's name."""
    return str(facts.report.location).rstrip("/").rpartition("/")[2]


def _head(facts: Facts) -> Html:
    """Say what it is and how the run ended."""
    report = facts.report
    status, location = report.status, report.location
    opening: list[Html] = []
    if link := report.link:
        opening.append(tag("a", "Open in Neuroglancer", class_="open", href=link, rel="noopener"))
        if location.startswith("file:"):
            opening.append(tag("p", "The viewer sees this folder while it is served over HTTP.",
                               class_="soft small"))  # fmt: skip
    return tag(
        "header",
        tag("span", status, class_=f"pill {status}"),
        tag("h1", _name(facts)),
        tag("code", location, class_="soft"),
        tag("div", *opening),
    )


def _tiles(facts: Facts) -> Html:
    """Show the numbers that people ask for first."""
    plan, report = facts.report.plan, facts.report.numbers
    volume, voxels, shape = plan.volume, plan.volume.format, plan.box.shape
    extent = [n * r for n, r in zip(shape, plan.scales[0].resolution, strict=True)]
    seconds = float(report["task_seconds"])
    colour = {1: "grey", 3: "RGB"}.get(voxels.channels, f"{voxels.channels} channels")
    kind = "labels" if volume.layer != "image" else colour
    read = f"{number(len(facts.report.names))} read, {number(len(plan.filled))} filled"
    tasks = f"{plural(plan.blocks, 'block')}, {plural(len(plan.coarse), 'coarse task')}"
    longest = f"the longest task {duration(report['longest_task_s'])}"
    tiles = (
        ("Voxels", " × ".join(map(number, shape)), _lengths(extent)),
        ("Slices", number(shape.z), read),
        ("Values", voxels.dtype, f"{kind}, {voxels.encoding}"),
        ("Scales", number(len(plan.scales)), f"{_lengths(plan.scales[0].resolution)} the finest"),
        ("Tasks done", number(int(report["tasks_done"])), tasks),
        ("Read", size(report["bytes_read"]), "bytes of slices"),
        ("Written", size(report["bytes_written"]), plural(int(report["objects"]), "object")),
        ("Work", duration(seconds), longest),
    )
    return tag(
        "dl",
        *(tag("div", tag("dt", a), tag("dd", b, tag("small", c))) for a, b, c in tiles),
        class_="facts",
    )


def _lengths(nm: Sequence[float]) -> str:
    """Return lengths in one unit that fits the longest."""
    for unit, factor in (("mm", 1e6), ("µm", 1e3)):
        if max(nm) >= factor:
            return " × ".join(f"{v / factor:.3g}" for v in nm) + f" {unit}"
    return " × ".join(f"{v:.3g}" for v in nm) + " nm"


def _trouble(facts: Facts) -> Html:
    """Say what stands in the way, or was left out, and how to go on."""
    report = facts.report
    if not report.failed and not report.problems:
        return Html()
    said = {f.message for f in report.failed}
    names = [f"{f.task}: {', '.join(f.slices)}" for f in report.failed if f.slices]
    holes = [f"{h.scale}: {h.box.name}" for h in report.holes]
    whole = report.status == "FAILED"
    rest = [p for p in report.problems if p not in said]
    return section(
        "Not published" if whole else "Published with holes",
        "There is no info file, so no viewer opens the volume. Finished blocks are kept."
        if whole
        else "These blocks were left out, as the config allows; their voxels hold nothing.",
        items(rest) if rest else Html(),
        _failed(report.failed),
        details("Slices of these blocks", items(names)) if names else Html(),
        details("Holes by scale", items(holes)) if holes else Html(),
        tag("h3", "Fix this, then continue with"),
        tag("pre", report.resume),
        kind="trouble" if whole else "PART",
    )


def _failed(failed: Sequence[FailedTask]) -> Html:
    """List the tasks that failed, each with its reason."""
    entries = [
        tag("li", tag("b", f.task), f"z {span(*f.z)} · {f.error} · "
            f"failed {plural(f.tries, 'time')}", tag("p", f.message))
        for f in failed[:ROWS]
    ]  # fmt: skip
    if not entries:
        return Html()
    return Html(tag("ol", *entries, class_="failed") + left_out(len(failed) - ROWS))


def _blocks(facts: Facts) -> Html:
    """Show what each task took, and what it was predicted to take."""
    plan = facts.report.plan
    if not facts.report.tasks:
        return Html()
    done = {r.task: r for r in facts.report.tasks}
    blocks = [done.get(block_name(i)) for i in range(plan.blocks)]
    seconds = np.array([r.seconds if r else np.nan for r in blocks])
    peaks = np.array([float(r.peak_mb) if r else np.nan for r in blocks])
    slowest = sorted(facts.report.tasks, key=lambda r: -r.seconds)
    ranges = {block_name(i): span(*plan.owned_z(0, i)) for i in range(plan.blocks)}
    ranges |= {c.name: _scales_of(plan, c.first, c.last) for c in plan.coarse}
    rows = [(r.task, ranges.get(r.task, ""), r.seconds, r.peak_mb, r.tries) for r in slowest]
    return section(
        "Time and memory of each block",
        f"A full block was predicted to take {duration(plan.predicted_block_s)} and "
        f"{number(plan.predicted_peak_mb)} MiB; a worker has {number(plan.memory_mb)} MiB.",
        tag(
            "div",
            _bar_chart(seconds, plan.predicted_block_s, "Seconds"),
            _bar_chart(peaks, plan.predicted_peak_mb, "Peak memory, MiB"),
            class_="pair",
        ),
        legend([("mean", "a block"), ("predicted", "predicted for a full block")]),
        details(
            "Every task, the slowest first",
            table(("!task", "!z", "#seconds", "#peak MiB", "#tries"), rows),
            shown=len(rows) <= FEW,
        ),
        tag("p", "The peak is that of the worker's process up to the end of the task.",
            class_="soft small"),
    )  # fmt: skip


def _scales_of(plan: Plan, first: int, last: int) -> str:
    """Name the scales of a coarse task."""
    keys = [s.key for s in plan.scales[first:last]]
    return f"scale {keys[0]}" if len(keys) == 1 else f"scales {keys[0]} to {keys[-1]}"


def _bar_chart(
    values: np.ndarray[tuple[int], np.dtype[np.float64]], predicted: float, unit: str
) -> Html:
    """Draw a bar for each block, in the order of z, and a line at what was predicted."""
    most = float(values[~np.isnan(values)].max(initial=0))
    top = max(most, predicted) * 1.04
    words = f"{unit} of each block: up to {number(round(most, 1))}, predicted {number(predicted)}"
    drawing = bars(values, top, [(predicted, "predicted")], words)
    drawn = chart(drawing, (short(round(top, 1)), "0"), ("block 0", f"{len(values) - 1}"))
    return tag("div", tag("h3", unit), drawn)


def _bill(facts: Facts) -> Html:
    """Show what it was to cost, and what it did."""
    bills = facts.report.bills
    came_to = {(n.service, n.what): n.dollars for n in bills.actual.lines}
    rows = [
        (
            f"{n.service} {n.what}",
            f"{n.quantity:,.6g} {n.unit}",
            _dollars(n.dollars),
            _dollars(came_to.get((n.service, n.what))),
        )
        for n in bills.predicted.lines
    ]
    if not rows:
        return Html()
    known = [came_to.get((n.service, n.what)) for n in bills.predicted.lines]
    foot = (
        "total",
        "",
        _dollars(bills.predicted.dollars),
        _dollars(None if None in known else sum(k or 0 for k in known)),
    )
    return section(
        "Bill", "US dollars: as the plan predicted it, and by what was used.",
        table(("item", "quantity", "#predicted", "#actual"), rows, foot),
    )  # fmt: skip


def _dollars(amount: float | None) -> str:
    """Return an amount with digits that say something."""
    if amount is None:
        return "–"
    return f"${amount:,.2f}" if amount >= 1 or amount == 0 else f"${amount:.2g}"


def _made(facts: Facts) -> Html:
    """Show how it was asked for, and what was noted on the way."""
    report, config = facts.report, dict(facts.report.config)
    listed = config.get("sorted_filename")
    if isinstance(listed, list) and len(listed) > FEW:
        config["sorted_filename"] = [*listed[:FEW], f"… {number(len(listed) - FEW)} more lines"]
    rows: list[tuple[Value, ...]] = [
        (s.key, " × ".join(map(number, s.box.shape)), " × ".join(map(number, s.chunk)), s.chunks)
        for s in report.plan.scales
    ]
    notes = report.notes
    return section(
        "How it was made",
        "",
        *([tag("h3", "Notes"), items(notes)] if notes else []),
        tag("h3", "Config"),
        table(("!field", "value"), [(name, _json(value)) for name, value in config.items()]),
        tag("h3", "Scales"),
        table(("scale", "!voxels", "!chunk", "#chunks"), rows),
    )


def _json(value: Any) -> Html:
    """Return a config's value as it is written."""
    written = json.dumps(value, ensure_ascii=False)
    cut = written[:CONFIG_CHARACTERS] + (" …" if len(written) > CONFIG_CHARACTERS else "")
    return tag("code", cut)


def _foot(facts: Facts) -> Html:
    """Say who made it."""
    program = facts.report.program
    ran = [f"zblocks {program.zblocks}", f"Python {program.python}"]
    ran += [f"execution {program.execution}"] if program.execution else []
    ran += [f"redriven {plural(program.redrives, 'time')}"] if program.redrives else []
    if compared := facts.report.chunks_compared:
        ran.append(f"{plural(compared, 'chunk')} compared by cloud-volume")
    made = "Made from receipts and the volume's stored scales; the page loads nothing else."
    return tag("footer", tag("p", " · ".join(ran)), tag("p", made))
