"""The documents of a volume, read whatever they hold: `info`, `provenance`, plan and receipts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zblocks.errors import DestinationConflict, InvalidConfig
from zblocks.geometry import Box, Vec
from zblocks.planning.plan import VERSION, Plan, plan_from_json
from zblocks.precomputed.chunks import content_encoding
from zblocks.precomputed.info import INFO, PROVENANCE, build_info
from zblocks.precomputed.unpack import UndecodedError, unpack
from zblocks.run.job import PLAN, RECEIPTS
from zblocks.run.receipt import Receipt
from zblocks.storage import Store
from zblocks.verify.findings import Findings
from zblocks.verify.gaps import Gaps
from zblocks.verify.info import LABEL_FIELDS

LIMIT = 1 << 28
"""Bytes of a document that is still read."""

GARBLED = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError,
)  # fmt: skip
"""What reading a document of anything may raise."""

RERUN = "run the config again with overwrite true, or take it from a copy"


@dataclass(frozen=True, slots=True)
class Left:
    """What zblocks left beside a volume."""

    ours: bool
    """Whether it says that it made the volume."""
    plan: Plan | None
    holes: Mapping[str, Sequence[Box]]
    """Declared ones, by the scale's key."""
    gaps: Gaps


def read_info(store: Store, found: Findings) -> Any:
    """Read `info`; None where it can't be read.

    Raises:
        InvalidConfig: there is none.
    """
    try:
        data, packing = _get(store, INFO)
    except FileNotFoundError as error:
        msg = f"{store.url}/{INFO}: not there, so there is no volume; check the place"
        raise InvalidConfig(msg) from error
    try:
        data = unpack(data, packing, LIMIT)
    except UndecodedError as error:
        found.cannot(f"{INFO}: {error} is not decoded here; install its decoder and check again")
        return None
    except ValueError as error:
        do = "store it with the Content-Encoding that it has, or none"
        found.problem("info-encoding", INFO, str(error), do)
        return None
    try:
        return _loads(data)
    except GARBLED as error:
        text = f"can't be read as JSON ({str(error)[:200]})"
        found.problem("info-not-json", INFO, text, RERUN)
        return None


def _get(store: Store, key: str) -> tuple[bytes, str]:
    """Return a document's bytes and Content-Encoding.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is too large for one.
    """
    meta = store.head(key)
    if meta is not None and meta.bytes > LIMIT:
        msg = f"is {meta.bytes} bytes, too many for such a document"
        raise ValueError(msg)
    return store.get_packed(key)


def _loads(data: bytes) -> Any:
    """Parse JSON as a viewer does: UTF-8, no NaN, and 64.0 is 64.

    Raises:
        ValueError: it is none.
        RecursionError: it is nested too deeply.
    """

    def number(text: str) -> float:
        value = float(text)
        return int(value) if value.is_integer() else value

    def refuse(name: str) -> None:
        msg = f"{name} is no number of JSON"
        raise ValueError(msg)

    return json.loads(data.decode("utf-8-sig"), parse_float=number, parse_constant=refuse)


def look_beside(store: Store, found: Findings) -> Left:
    """Read what zblocks left beside a volume."""
    provenance = read_document(store, PROVENANCE, "provenance-not-json", found)
    plan = _read_plan(store, found)
    try:
        said = "zblocks" in [step["method"]["task"] for step in provenance["processing"]]
    except GARBLED:
        said = False
    ours = said or store.head(PLAN) is not None
    if ours and not isinstance(provenance, dict):
        found.note(f"{PROVENANCE}: not there, though zblocks writes one")
    gaps = Gaps.of_plan(plan) if plan else Gaps.of_provenance(provenance)
    return Left(ours, plan, _holes(provenance, found), gaps)


def read_document(store: Store, key: str, kind: str, found: Findings) -> Any:
    """Read any JSON document; None where there is none."""
    try:
        data, packing = _get(store, key)
        return _loads(unpack(data, packing, LIMIT))
    except FileNotFoundError:
        return None
    except UndecodedError as error:
        found.cannot(f"{key}: {error} is not decoded here; install its decoder and check again")
    except GARBLED as error:
        found.problem(kind, key, f"can't be read as JSON ({str(error)[:200]})", RERUN)
    return None


def _read_plan(store: Store, found: Findings) -> Plan | None:
    """Read the plan that stands."""
    try:
        data, packing = _get(store, PLAN)
        plan = plan_from_json(unpack(data, packing, LIMIT))
        build_info(plan)
        content_encoding(plan.volume, plan.scales[0])
    except FileNotFoundError:
        return None
    except DestinationConflict:
        found.note(f"{PLAN}: of another version of zblocks; info is not compared with it")
        return None
    except (*GARBLED, UndecodedError) as error:
        text = f"is no plan that can be read ({type(error).__name__}: {str(error)[:200]})"
        found.problem("plan-unreadable", PLAN, text, RERUN)
        return None
    return plan


def _holes(provenance: Any, found: Findings) -> dict[str, list[Box]]:
    """Return the holes that `provenance` lists, by scale."""
    if provenance is None:
        return {}
    holes: dict[str, list[Box]] = {}
    try:
        for entry in provenance.get("holes", []):
            holes.setdefault(str(entry["scale"]), []).append(_box(entry["box"]))
    except GARBLED:
        text = "its list of holes can't be read"
        found.problem("bad-holes", PROVENANCE, text, RERUN)
    return holes


def _box(name: str) -> Box:
    """Return the box of a name like `0-64_0-64_-8-8`."""
    pairs = [part.rpartition("-")[::2] for part in name.split("_")]
    x, y, z = ((int(a), int(b)) for a, b in pairs)
    return Box(Vec(x[0], y[0], z[0]), Vec(x[1], y[1], z[1]))


def read_receipts(store: Store, found: Findings) -> Iterator[Receipt]:
    """Walk the receipts that can be read."""
    for meta in store.list(RECEIPTS):
        try:
            data, packing = _get(store, meta.key)
            data = unpack(data, packing, LIMIT)
            if _loads(data)["version"] != VERSION:
                found.note("receipts of another version of zblocks: checksums are not compared")
                continue
            receipt = Receipt.from_json(data)
            for one in receipt.objects:
                if ".." in one.key.split("/") or one.bytes != int(one.bytes) or one.bytes < 0:
                    raise ValueError(f"object {one.key!r:.100} of {one.bytes!r:.100} bytes")
        except (*GARBLED, FileNotFoundError, UndecodedError) as error:
            text = f"is no receipt that can be read ({type(error).__name__}: {str(error)[:200]})"
            found.problem("receipt-unreadable", meta.key, text, "run the config again")
        else:
            yield receipt


def compare_info(info: object, plan: Plan, found: Findings) -> None:
    """Hold `info` against the one that its plan makes; what others added is only noted."""
    for place, text in _differences(info, json.loads(build_info(plan)), ""):
        if text is None:
            if place.removeprefix(".") not in LABEL_FIELDS:
                found.note(f"info: {place.removeprefix('.')} is not of zblocks")
            continue
        do = "put back what the plan says, or run the config again with overwrite true"
        found.problem("info-differs", f"info: {place.removeprefix('.') or 'all'}", text, do)


def _differences(there: Any, due: Any, place: str) -> Iterator[tuple[str, str | None]]:
    """Walk the fields that differ, with what is due; None for what isn't in the plan."""
    if isinstance(there, dict) and isinstance(due, dict):
        for name in [*due, *(n for n in there if n not in due)]:
            if name not in due:
                yield f"{place}.{name}", None
            elif name not in there:
                yield f"{place}.{name}", f"is missing where the plan says {due[name]!r:.100}"
            else:
                yield from _differences(there[name], due[name], f"{place}.{name}")
    elif place == ".scales" and isinstance(there, list):
        for n, one in enumerate(due):
            if n < len(there):
                yield from _differences(there[n], one, f"{place}[{n}]")
            else:
                yield f"{place}[{n}]", f"is missing where the plan says {one['key']!r}"
        for n in range(len(due), len(there)):
            yield f"{place}[{n}]", None
    elif there != due:
        yield place, f"is {there!r:.100} where the plan says {due!r:.100}"
