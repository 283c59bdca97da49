"""The parts of the page about slices: odd ones, brightness, pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from zblocks.report.charts import COLUMNS, Mark, Series, band, log_bars
from zblocks.report.facts import Facts, Plane, Thumb
from zblocks.report.markup import (
    Html,
    Value,
    chart,
    details,
    items,
    legend,
    number,
    plural,
    section,
    short,
    span,
    table,
    tag,
    text,
)
from zblocks.report.outliers import Duplicate, histogram, present, spare_bits
from zblocks.report.pictures import Picture

KINDS = {
    "gone": "not made",
    "filled": "missing",
    "blank": "blank",
    "duplicate": "duplicate",
    "outlier": "outlier",
}
"""What a slice can be, the gravest first."""

EACH = 100
"""Slices of each kind that are listed with what was found; of the others, only the z."""

MANY = 20
"""Rows, and runs of z, beyond which they are shown only when they are asked for."""


def marked(facts: Facts) -> dict[str, list[int]]:
    """Return the z of slices of each kind."""
    odd = facts.report.anomalies
    return {
        "gone": [z for z0, z1 in facts.gone for z in range(z0, z1)],
        "filled": [z for z, _, _ in facts.report.plan.filled],
        "blank": [b.z for b in odd.blank],
        "duplicate": [d.z for d in odd.duplicates],
        "outlier": [o.z for o in odd.outliers],
    }


def odd_section(facts: Facts) -> Html:
    """List what was filled or skipped, and slices to look at."""
    zs, rows = marked(facts), _odd_rows(facts)
    drawn: list[tuple[Value, ...]] = [
        (tag("span", tag("i", class_=f"is-{kind}"), KINDS[kind], class_="kind"), *row)
        for kind, found in rows.items()
        for row in found[:EACH]
    ]
    listed = table(("what", "!z", "slice", "found"), drawn) if drawn else Html()
    counts = {kind: _counted(kind, len(found)) for kind, found in zs.items() if found}
    if len(drawn) > MANY:
        runs = [(counts[kind], _runs(zs[kind])) for kind in counts]
        more = details(f"With names, {EACH} of each kind at most", listed)
        listed = Html(table(("!what", "z"), runs) + more)
    said = ", ".join(counts.values()) or "Nothing stands out"
    return section("Slices to look at", f"{said}. {_judged(facts)}", listed)


def _counted(kind: str, count: int) -> str:
    """Return how many slices are of a kind, in words."""
    named = kind in ("duplicate", "outlier")
    return plural(count, KINDS[kind]) if named else f"{number(count)} {KINDS[kind]}"


def _odd_rows(facts: Facts) -> dict[str, list[tuple[str, str, str]]]:
    """Return z, key and what was found of slices of each kind."""
    odd, filled = facts.report.anomalies, facts.report.plan.filled

    def same(d: Duplicate) -> str:
        return f"{'is the same file' if d.certain else 'looks the same'} as z {d.same_as}"

    return {
        "gone": [(span(*z), "", "their block failed or did not run") for z in facts.gone],
        "filled": [(str(z), name, f"holds the fill value ({why})") for z, name, why in filled],
        "blank": [(str(b.z), b.slice, f"every pixel is {number(b.value)}") for b in odd.blank],
        "duplicate": [(str(d.z), d.slice, same(d)) for d in odd.duplicates],
        "outlier": [
            (str(o.z), o.slice, f"mean {number(o.mean)}, around it {number(o.usual)}")
            for o in odd.outliers
        ],
    }


def _runs(zs: Sequence[int]) -> Html:
    """Name slices by z, those that follow each other as one."""
    runs = np.split(np.array(zs), np.flatnonzero(np.diff(zs) > 1) + 1)
    words = [span(int(run[0]), int(run[-1]) + 1) for run in runs]
    first, rest = ", ".join(words[:MANY]), ", ".join(words[MANY:])
    return Html(first + (details("and on", text(rest)) if rest else ""))


def _judged(facts: Facts) -> str:
    """Say what was looked for."""
    looked = ["blank slices"]
    looked += ["files that are there twice"]
    looked += (
        ["slices that look the same"]
        if histogram(present(facts.report.plan, facts.report.slices))
        else []
    )
    looked += (
        ["slices much brighter or darker than their neighbours"]
        if facts.report.plan.volume.layer == "image"
        else []
    )
    count = plural(len(facts.report.names), "slice")
    return f"Looked for among the {count} read: {', '.join(looked[:-1])} and {looked[-1]}."


# Brightness


def brightness_section(facts: Facts) -> Html:
    """Draw how bright each slice is."""
    start, depth = facts.report.plan.box.start.z, facts.report.plan.box.shape.z
    values = np.full((3, depth), np.nan)
    names = facts.report.names
    for s in facts.report.slices:
        if s.z in names:
            values[:, s.z - start] = s.low, s.mean, s.high
    if np.isnan(values).all():
        return Html()
    bottom, top = float(np.nanmin(values)), float(np.nanmax(values))
    marks = [m for k, zs in marked(facts).items() for m in _marks(k, zs, start, depth)]
    drawing = band(
        Series(*values), top, bottom, marks, f"brightness of slices {span(start, start + depth)}"
    )
    there = [(k, KINDS[k]) for k, zs in marked(facts).items() if zs]
    ends = (f"z {start}", str(start + depth // 2), str(start + depth - 1))
    return section(
        "Brightness of each slice",
        "Mean value, and the range from the lowest to the highest.",
        chart(drawing, (short(top), short(bottom)), ends if depth > 2 else ends[::2]),
        legend([("mean", "mean"), ("band", "lowest to highest"), *there]),
    )


def _marks(kind: str, zs: Iterable[int], start: int, depth: int) -> list[Mark]:
    """Return lines at slices, neighbours in one."""
    columns = min(depth, COLUMNS)
    places = np.unique((np.array(sorted(zs), np.int64) - start) * columns // depth)
    runs = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
    return [Mark(r[0] / columns, (r[-1] + 1) / columns, kind) for r in runs if len(r)]


def histogram_section(facts: Facts) -> Html:
    """Draw how often each value is there, and what the viewer shows black and white."""
    found = histogram(present(facts.report.plan, facts.report.slices))
    if found is None or facts.report.plan.volume.layer != "image":
        return Html()
    end = len(found.counts) * found.step
    chosen = facts.report.contrast
    marks, shown = [], "The viewer shows the whole range of the type."
    if chosen:
        low, high = chosen[0] / end, (chosen[1] + 1) / end
        thin = 1.5 / 1000
        marks = [
            Mark(low, high, "window"),
            Mark(low, low + thin, "edge"),
            Mark(high - thin, high, "edge"),
        ]
        shown = (
            f"The viewer shows {number(chosen[0])} black and {number(chosen[1])} white: the 0.1 "
            "and 99.9 % marks."
        )
    drawing = log_bars(found.counts.tolist(), marks, f"histogram; {shown}")
    bits = spare_bits(facts.report.plan, facts.report.slices)
    return section(
        "Histogram",
        f"Of all slices, counts on a logarithmic scale. {shown}",
        chart(drawing, (short(int(found.counts.max())), "0"), ("0", number(end - 1))),
        tag("p", f"{bits}.", class_="small") if bits else Html(),
    )


# Pictures


def planes_section(facts: Facts) -> Html:
    """Show the planes through the middle."""
    seen = facts.overview
    if not seen.planes and not seen.problems:
        return Html()
    figures = tag("div", *map(_figure, seen.planes), class_="planes") if seen.planes else Html()
    said = items(seen.problems) if seen.problems else Html()
    return section("Through the middle", "From the volume's own scales.", figures, said)


def _figure(plane: Plane) -> Html:
    """Return one plane with its caption."""
    words = f"{plane.axes} at {plane.at}"
    image = _image(plane.picture, f"{words}, of the volume")
    caption = tag("figcaption", f"{words} · scale {plane.scale}")
    return tag("figure", image, caption, class_=plane.axes)


def _image(picture: Picture, words: str, title: str = "") -> Html:
    """Return a picture."""
    wide, high = picture.width, picture.height
    shape = f"aspect-ratio:{wide}/{high};max-width:min(100%,{wide}px)"  # voxels may be no cubes
    return tag("img", src=picture.address, alt=words, title=title, width=wide, style=shape)


def sheet_section(facts: Facts) -> Html:
    """Show every slice, or evenly chosen ones."""
    seen = facts.overview
    if not seen.thumbs:
        return Html()
    zs = {k: np.array(v, np.int64) for k, v in marked(facts).items()}
    names = facts.report.names
    size = next(((t.picture.width, t.picture.height) for t in seen.thumbs if t.picture), (4, 3))
    cells = [_cell(t, _kind(t, zs), names, size) for t in seen.thumbs]
    return section("Contact sheet", _sheet_words(facts), tag("ol", *cells, class_="sheet"))


def _sheet_words(facts: Facts) -> str:
    """Say what the pictures stand for."""
    seen = facts.overview
    each = max(t.z1 - t.z0 for t in seen.thumbs)
    every = "Every slice" if each == 1 else f"Each picture stands for up to {each} slices"
    if seen.of > len(seen.thumbs):
        every = f"{number(len(seen.thumbs))} of {number(seen.of)}, evenly chosen" + (
            f"; each picture stands for up to {each} slices" if each > 1 else ""
        )
    return f"{every}; in the order of z, from scale {seen.scale}."


def _kind(thumb: Thumb, zs: dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]]) -> str:
    """Return the gravest that can be said of the slices of a picture."""
    if thumb.picture is None:
        return "gone"
    return next(
        (k for k, v in zs.items() if k != "gone" and ((v >= thumb.z0) & (v < thumb.z1)).any()), ""
    )


def _cell(thumb: Thumb, kind: str, names: dict[int, str], size: tuple[int, int]) -> Html:
    """Return one picture with its z."""
    z, what = span(thumb.z0, thumb.z1), KINDS.get(kind, "")
    name = names.get(thumb.z0, "") if thumb.z1 - thumb.z0 == 1 else ""
    words = ": ".join(w for w in (f"z {z}", name, what) if w)
    if thumb.picture is None:
        shape = f"aspect-ratio:{size[0]}/{size[1]}"
        shown = tag("div", class_="none", role="img", aria_label=words, style=shape)
    else:
        shown = _image(thumb.picture, words, name)
    label = tag("span", f"{z} · {what}" if what else z)
    return tag("li", shown, label, class_=f"odd is-{kind}" if kind else "")


def sections(facts: Facts) -> Sequence[Html]:
    """Return the parts of the page about slices."""
    pair = [brightness_section(facts), histogram_section(facts)]
    both = tag("div", *pair, class_="pair") if all(pair) else Html("".join(pair))
    return [odd_section(facts), planes_section(facts), both, sheet_section(facts)]
