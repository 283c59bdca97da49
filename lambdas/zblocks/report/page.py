"""Renders `report.html`, one self-contained page, or says why it can't."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zblocks.errors import StorageError, hide_accounts
from zblocks.planning.plan import Plan, block_name
from zblocks.report import formats
from zblocks.report.charts import Mark, Series, band, bars, log_bars
from zblocks.report.flags import KINDS, Flags, find_flags, gravest
from zblocks.report.outliers import histogram, present, spare_bits
from zblocks.report.overview import make_pictures
from zblocks.report.partial_volume import PartialVolume
from zblocks.report.pictures import Display
from zblocks.report.run_report import RunReport
from zblocks.storage import Store

if TYPE_CHECKING:
    import numpy.typing as npt

ROWS = 500  # most rows of a table or list; the page says how many more there are
NAMED = 100  # most slices of each kind listed with names; of the others, only z is given
MANY = 20  # rows and ranges of z beyond which they are folded away
FEW = 12  # most rows of a table that is unfolded at first, and lines of a list in the config
CONFIG_CHARACTERS = 2_000  # most characters of a config value


@dataclass(frozen=True, slots=True)
class Chart:
    """An SVG and the labels of its axes."""

    drawing: str
    top: str
    bottom: str
    ends: tuple[str, ...]  # labels of the x axis, from left to right
    title: str = ""


def _render(report: RunReport, target: Store) -> str:
    plan, undone = report.plan, report.undone
    boxes = [plan.owned_box(0, i) for i in range(plan.blocks) if block_name(i) in undone]
    gone = tuple((box.start.z, box.stop.z) for box in boxes)
    filled = frozenset(f.z for f in plan.filled)
    pictures = make_pictures(PartialVolume(plan, target, undone, filled, _display(report)))
    flags, stats = find_flags(report, gone), present(plan, report.slices)
    page: str = _template().render(
        report=report,
        plan=plan,
        numbers=report.numbers,
        volume=plan.volume,
        name=report.location.rstrip("/").rpartition("/")[2],
        pictures=pictures,
        flags=flags,
        kinds=KINDS,
        gravest=lambda thumb: gravest(flags, thumb.z0, thumb.z1) if thumb.picture else "gone",
        looked_for=_looked_for(report, with_histogram=histogram(stats) is not None),
        brightness=_brightness(report, flags),
        histogram=_histogram(report),
        spare_bits=spare_bits(plan, report.slices),
        blocks=_blocks(report),
        tasks=sorted(report.tasks, key=lambda t: -t.seconds),
        places=_places(plan),
        bill=_bill(report),
        config=_config(report),
        limits={"rows": ROWS, "named": NAMED, "many": MANY, "few": FEW},
    )
    return page


@cache
def _template() -> Any:
    # Takes long to load.
    from jinja2 import Environment, FileSystemBytecodeCache, PackageLoader, StrictUndefined

    compiled = Path(__file__).parent / "__pycache__"
    keep = not sys.dont_write_bytecode and os.access(compiled, os.W_OK)
    environment = Environment(
        loader=PackageLoader("zblocks", "report"),
        bytecode_cache=FileSystemBytecodeCache(str(compiled)) if keep else None,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = ("number", "short", "plural", "size", "duration", "lengths", "dollars")
    environment.filters |= {name: getattr(formats, name) for name in names}
    environment.globals["span"] = formats.span
    return environment.get_template("report.html.jinja")


def _looked_for(report: RunReport, *, with_histogram: bool) -> str:
    looked = ["blank slices", "files that appear twice"]
    looked += ["slices that look the same"] if with_histogram else []
    image = report.plan.volume.layer == "image"
    looked += ["slices cut off at the end"] if image else []
    looked += ["slices much brighter or darker than their neighbours"] if image else []
    return f"{', '.join(looked[:-1])} and {looked[-1]}"


def _brightness(report: RunReport, flags: tuple[Flags, ...]) -> Chart | None:
    start, depth = report.plan.box.start.z, report.plan.box.shape.z
    values, names = np.full((3, depth), np.nan), report.names
    for s in report.slices:
        if s.z in names and s.finite:
            mean = np.nan if s.mean is None else s.mean
            values[:, s.z - start] = s.low, mean, s.high
    if np.isnan(values).all():
        return None
    bottom, top = float(np.nanmin(values)), float(np.nanmax(values))
    marks = [mark for each in flags for mark in each.marks(start, depth)]
    label = f"brightness of slices {formats.span(start, start + depth)}"
    ends = (f"z {start}", str(start + depth // 2), str(start + depth - 1))
    drawing = band(Series(*values), top, bottom, marks, label)
    return Chart(
        drawing, formats.short(top), formats.short(bottom), ends if depth > 2 else ends[::2]
    )


def _histogram(report: RunReport) -> Chart | None:
    found = histogram(present(report.plan, report.slices))
    if found is None or report.plan.volume.layer != "image":
        return None
    end, shown = len(found.counts) * found.step, "The viewer shows the type's full range."
    marks = []
    if len(report.contrast) > 1:
        shown = "The viewer shows each channel in a range of its own."
    elif report.contrast[0]:
        black, white = report.contrast[0]
        low, high, thin = black / end, (white + 1) / end, 1.5 / 1000
        marks = [
            Mark(low, high, "window"),
            Mark(low, low + thin, "edge"),
            Mark(high - thin, high, "edge"),
        ]
        shown = f"The viewer shows {formats.number(black)} black and {formats.number(white)} white."
    drawing = log_bars(found.counts.tolist(), marks, f"histogram; {shown}")
    top, right = formats.short(int(found.counts.max())), formats.number(end - 1)
    return Chart(drawing, top, "0", ("0", right), shown)


def _blocks(report: RunReport) -> tuple[Chart, ...]:
    plan = report.plan
    done = {t.task: t for t in report.tasks}
    blocks = [done.get(block_name(i)) for i in range(plan.blocks)]
    seconds = np.array([b.seconds if b else np.nan for b in blocks])
    peaks = np.array([float(b.peak_mb) if b else np.nan for b in blocks])
    return (
        _bar_chart(seconds, plan.predicted_block_s, "Seconds"),
        _bar_chart(peaks, plan.predicted_peak_mb, "Peak memory, MiB"),
    )


def _bar_chart(values: npt.NDArray[np.float64], predicted: float, unit: str) -> Chart:
    most = float(values[~np.isnan(values)].max(initial=0))
    top = max(most, predicted) * 1.04
    label = (
        f"{unit} of each block: up to {formats.number(round(most, 1))}, predicted "
        f"{formats.number(predicted)}"
    )
    drawing = bars(values, top, [(predicted, "predicted")], label)
    ends = ("block 0", f"{len(values) - 1}")
    return Chart(drawing, formats.short(round(top, 1)), "0", ends, unit)


def _places(plan: Plan) -> dict[str, str]:
    """Return the slices or scales that each task made, by task."""
    boxes = [plan.owned_box(0, i) for i in range(plan.blocks)]
    places = {block_name(i): formats.place(box, plan.box) for i, box in enumerate(boxes)}
    for task in plan.coarse:
        keys = [s.key for s in plan.scales[task.first : task.last]]
        one = len(keys) == 1
        places[task.name] = f"scale {keys[0]}" if one else f"scales {keys[0]} to {keys[-1]}"
    return places


def _bill(report: RunReport) -> dict[str, Any]:
    predicted, actual = report.bills.predicted, report.bills.actual
    came_to = {(line.service, line.what): line.dollars for line in actual.lines}
    rows = [
        (
            f"{line.service} {line.what}" + (" (price unconfirmed)" if line.unconfirmed else ""),
            f"{line.quantity:,.6g} {line.unit}",
            line.dollars,
            came_to.get((line.service, line.what)),
        )
        for line in predicted.lines
    ]
    known = [row[3] for row in rows if row[3] is not None]
    total = sum(known) if len(known) == len(rows) else None
    return {"rows": rows, "predicted": predicted.dollars, "actual": total}


def _config(report: RunReport) -> list[tuple[str, str]]:
    """Return the config's fields and their JSON, long values cut."""
    config = dict(report.config)
    listed = config.get("sorted_filename")
    if isinstance(listed, list) and len(listed) > FEW:
        more = f"… {formats.number(len(listed) - FEW)} more lines"
        config["sorted_filename"] = [*listed[:FEW], more]
    written = ((name, json.dumps(value, ensure_ascii=False)) for name, value in config.items())
    return [
        (name, text[:CONFIG_CHARACTERS] + (" …" if len(text) > CONFIG_CHARACTERS else ""))
        for name, text in written
    ]


@dataclass(frozen=True, slots=True)
class Rendered:
    """The page, or the error that prevented it."""

    html: bytes = b""
    error: str = ""


def render_report(report: RunReport, target: Store) -> Rendered:
    """Return `report.html`, with pictures made from the stored scales; it names no account.

    Errors other than storage errors are returned, not raised: they must not prevent publication.

    Raises StorageError: the store failed after retries; the run can be retried.
    """
    try:
        return Rendered(hide_accounts(_render(report, target)).encode(errors="replace"))
    except StorageError:
        raise
    except Exception as error:
        return Rendered(error=f"{type(error).__name__}: {error}")


def _display(report: RunReport) -> Display:
    """Return the viewer's contrast, or else the full range of 8 bits or of the slices."""
    volume = report.plan.volume
    if any(report.contrast):
        return Display(volume.layer, report.contrast)
    if volume.format.dtype == "uint8" or not report.slices:
        return Display(volume.layer, ((0, 255),))
    low = min(s.low for s in report.slices) if volume.format.channels == 1 else 0
    return Display(volume.layer, ((low, max(s.high for s in report.slices)),))
