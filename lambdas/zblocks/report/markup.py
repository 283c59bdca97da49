"""Text becomes HTML: every value is escaped unless it is markup already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

ROWS = 500
"""Rows of a table or list; what is left out is counted."""


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


Value = str | int | float


def text(value: Value) -> Html:
    """Return a value as markup; numbers with separators."""
    if isinstance(value, Html):
        return value
    return Html(escape(value if isinstance(value, str) else number(value)))


def tag(name: str, *inner: Value, **attributes: Value) -> Html:
    """Return an element; `class_` loses its underscore, `aria_label` gets a hyphen."""
    pairs = (
        (k.rstrip("_").replace("_", "-"), escape(str(v))) for k, v in attributes.items() if v != ""
    )
    given = "".join(f' {k}="{v}"' for k, v in pairs)
    closing = "" if name == "img" else f"</{name}>"
    return Html(f"<{name}{given}>{''.join(map(text, inner))}{closing}")


def section(title: str, lead: Value, *parts: Html, kind: str = "") -> Html:
    """Return a part of the page under a heading, with a line of explanation."""
    said = tag("p", lead, class_="soft") if lead else ""
    return tag("section", tag("h2", title), said, *parts, class_=kind)


def table(
    heads: Sequence[str], rows: Sequence[Sequence[Value]], foot: Sequence[Value] = ()
) -> Html:
    """Return a table of at most `ROWS` rows; heads with # are of numbers, with ! of short words."""
    kinds = [{"#": "n", "!": "w"}.get(h[0], "") for h in heads]

    def cells(values: Iterable[Value]) -> Html:
        pairs = zip(values, kinds, strict=True)
        return tag("tr", *(tag("td", v, class_=k) for v, k in pairs))

    names = zip(heads, kinds, strict=True)
    head = tag("tr", *(tag("th", h.lstrip("#!"), scope="col", class_=k) for h, k in names))
    body = tag("tbody", *map(cells, rows[:ROWS]))
    last = tag("tfoot", cells(foot)) if foot else ""
    drawn = tag("div", tag("table", tag("thead", head), body, last), class_="scroll")
    return Html(drawn + left_out(len(rows) - ROWS))


def items(values: Sequence[Value]) -> Html:
    """Return a list of at most `ROWS`."""
    drawn = tag("ul", *(tag("li", v) for v in values[:ROWS]), class_="plain")
    return Html(drawn + left_out(len(values) - ROWS))


def left_out(count: int) -> Html:
    """Say how many there are that aren't shown."""
    if count <= 0:
        return Html()
    return tag("p", f"… and {number(count)} more, in report.json.", class_="soft small")


def details(title: str, *inner: Html, shown: bool = False) -> Html:
    """Return what is shown when it is asked for."""
    opening = "<details open>" if shown else "<details>"
    return Html(f"{opening}{tag('summary', title)}{''.join(inner)}</details>")


def legend(entries: Iterable[tuple[str, str]]) -> Html:
    """Return what colours mean: class and words of each."""
    return tag(
        "ul", *(tag("li", tag("i", class_=f"is-{k}"), words) for k, words in entries),
        class_="legend",
    )  # fmt: skip


def chart(drawing: str, y: tuple[str, str], x: Sequence[str]) -> Html:
    """Return a drawing with the ends of its axes: y from top to bottom, x from left to right."""
    return tag(
        "div",
        Html(drawing),
        tag("span", y[0], class_="y top"),
        tag("span", y[1], class_="y bottom"),
        tag("div", *(tag("span", label) for label in x), class_="x"),
        class_="chart",
    )


def number(value: float) -> str:
    """Return a number with separators, and no more digits than say something."""
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3g}"


def short(value: float) -> str:
    """Return a number for the end of an axis: three digits, and a letter for large ones."""
    for letter, unit in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= 10 * unit:
            return f"{number(round(value / unit))}{letter}"
    return number(value)


def plural(count: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def size(count: float) -> str:
    """Return bytes in the largest unit that fits."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{number(round(count, 1))} {unit}"
        count /= 1000
    return f"{number(round(count, 2))} TB"


def duration(seconds: float) -> str:
    """Return a time in words that fit it."""
    if seconds < 120:
        return f"{number(round(seconds, 1))} s"
    if seconds < 7200:
        return f"{number(round(seconds / 60, 1))} min"
    return f"{number(round(seconds / 3600, 1))} h"


def span(z0: int, z1: int) -> str:
    """Name slices [z0, z1) as people do: both ends belong to them."""
    if z1 - z0 <= 1:
        return f"{z0}"
    return f"{z0}{' to ' if z0 < 0 else '–'}{z1 - 1}"
