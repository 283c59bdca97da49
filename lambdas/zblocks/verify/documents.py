"""The documents of a volume: `info`, `provenance`, the plan, the names of labels."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zblocks.compression import MissingDecoderError
from zblocks.errors import DestinationConflict, InvalidConfig
from zblocks.geometry import Box, Span, Vec
from zblocks.omezarr.array import DOCUMENT
from zblocks.outputs.scales import SUFFIX
from zblocks.planning.documents import plan_from_json
from zblocks.planning.missing import absent_spans, coarser_spans, hole_spans, spans_of
from zblocks.planning.plan import Plan
from zblocks.precomputed.info import INFO, MALFORMED, PROVENANCE, build_info, load_json, read_bytes
from zblocks.precomputed.scale import Scale
from zblocks.run.job import PLAN
from zblocks.storage import Store
from zblocks.verify.findings import Findings
from zblocks.verify.info import LABEL_FIELDS

RERUN = "run the config again with overwrite true, or restore it from a copy"
UNDECODED = "can't be decoded here; install its decoder and check again"


@dataclass(frozen=True, slots=True)
class Gaps:
    """Planes of a volume that hold no data."""

    absent: tuple[Span, ...] = ()  # planes of scale 0 that no mean counts
    holes: bool = False  # whether chunks that lie wholly in them are left out

    @classmethod
    def of_plan(cls, plan: Plan) -> Gaps:
        """Read them from a plan."""
        return cls(absent_spans(plan), plan.missing.policy == "hole")

    @classmethod
    def of_provenance(cls, provenance: Any) -> Gaps:
        """Return the gaps that `provenance` declares; none if it can't be read."""
        try:
            filled = provenance["filled_slices"]
            left_out = [one for one in filled if one.get("in_means") is False]
            absent = spans_of(int(one["z"]) for one in left_out)
        except (AttributeError, KeyError, TypeError, ValueError):
            return cls()
        return cls(absent, any(one.get("how") == "hole" for one in left_out))

    def at(self, scale: Scale, finest: Scale) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
        """Return the planes of a scale without data, and the layers of chunks left out."""
        span = finest.box.start.z, finest.box.stop.z
        absent = coarser_spans(self.absent, span, scale.factor.z)
        return absent, hole_spans(absent, scale.box, scale.chunk.z) if self.holes else ()


@dataclass(frozen=True, slots=True)
class ZblocksMetadata:
    """What zblocks left beside a volume."""

    made_by_zblocks: bool  # whether it says that zblocks made the volume
    plan: Plan | None = None
    holes: Mapping[str, Sequence[Box]] = field(default_factory=dict)  # declared, by a scale's key
    gaps: Gaps = Gaps()


def read_info(store: Store, found: Findings) -> dict[str, Any] | None:
    """Read `info`; None where it can't be used, which is noted.

    Raises InvalidConfig if it doesn't exist.
    """
    try:
        data = read_bytes(store, INFO)
    except FileNotFoundError as error:
        msg = f"{store.url}/{INFO}: not found, so there is no volume; check the location"
        raise InvalidConfig(msg) from error
    except MissingDecoderError as error:
        found.cannot(f"{INFO}: {error} {UNDECODED}")
        return None
    except ValueError as error:
        do = "store it with the Content-Encoding that it has, or none"
        found.problem("info-encoding", INFO, str(error), do)
        return None
    try:
        document = load_json(data)
    except MALFORMED as error:
        text = f"can't be read as JSON ({str(error)[:200]})"
        found.problem("info-not-json", INFO, text, RERUN)
        return None
    if not isinstance(document, dict):
        found.problem("info-not-object", INFO, "is not a JSON object", "write it again")
        return None
    return document


def read_document(store: Store, key: str, kind: str, found: Findings) -> Any:
    """Read any JSON document; None where it doesn't exist, or can't be read, which is noted."""
    try:
        return load_json(read_bytes(store, key))
    except FileNotFoundError:
        return None
    except MissingDecoderError as error:
        found.cannot(f"{key}: {error} {UNDECODED}")
    except MALFORMED as error:
        found.problem(kind, key, f"can't be read as JSON ({str(error)[:200]})", RERUN)
    return None


def origin_of(store: Store) -> Store:
    """Return the store with the metadata of a volume: for an image beside a volume, the volume's.

    The image itself says that it lies beside one: by its name alone, it could be another tool's.
    """
    try:
        root = load_json(read_bytes(store, DOCUMENT))
        place = root["attributes"]["zblocks"]["provenance"]
    except (*MALFORMED, FileNotFoundError, MissingDecoderError):
        return store
    name = posixpath.basename(store.url)
    beside = name.endswith(SUFFIX) and place == f"../{name.removesuffix(SUFFIX)}/{PROVENANCE}"
    return store.without(SUFFIX) if beside else store


def read_metadata(store: Store, found: Findings) -> ZblocksMetadata:
    """Read what zblocks left beside a volume."""
    provenance = read_document(store, PROVENANCE, "provenance-not-json", found)
    plan = _read_plan(store, found)
    try:
        said = "zblocks" in [step["method"]["task"] for step in provenance["processing"]]
    except MALFORMED:
        said = False
    made_by_zblocks = said or store.head(PLAN) is not None
    if made_by_zblocks and not isinstance(provenance, dict):
        found.note(f"{PROVENANCE}: not found, though zblocks writes one")
    gaps = Gaps.of_plan(plan) if plan else Gaps.of_provenance(provenance)
    return ZblocksMetadata(made_by_zblocks, plan, _holes(provenance, found), gaps)


def _read_plan(store: Store, found: Findings) -> Plan | None:
    try:
        plan = plan_from_json(read_bytes(store, PLAN))
        build_info(plan.volume)
    except FileNotFoundError:
        return None
    except DestinationConflict:
        found.note(f"{PLAN}: of another version of zblocks; info is not compared with it")
        return None
    except (*MALFORMED, MissingDecoderError) as error:
        text = f"is not a readable plan ({type(error).__name__}: {str(error)[:200]})"
        found.problem("plan-unreadable", PLAN, text, RERUN)
        return None
    return plan


def _holes(provenance: Any, found: Findings) -> dict[str, list[Box]]:
    if provenance is None:
        return {}
    holes: dict[str, list[Box]] = {}
    try:
        for entry in provenance.get("holes", []):
            holes.setdefault(str(entry["scale"]), []).append(_box(entry["box"]))
    except MALFORMED:
        found.problem("bad-holes", PROVENANCE, "its list of holes can't be read", RERUN)
    return holes


def _box(name: str) -> Box:
    """Return the box of a name like `0-64_0-64_-8-8`."""
    pairs = [part.rpartition("-")[::2] for part in name.split("_")]
    x, y, z = ((int(a), int(b)) for a, b in pairs)
    return Box(Vec(x[0], y[0], z[0]), Vec(x[1], y[1], z[1]))


def compare_info(info: Mapping[str, Any], plan: Plan, found: Findings) -> None:
    """Compare `info` with the plan's; fields that others added are only noted."""
    differing = differences(info, json.loads(build_info(plan.volume)))
    report_differences(differing, Differing("info-differs", "info", LABEL_FIELDS), found)


@dataclass(frozen=True, slots=True)
class Differing:
    """A document to compare with the planned one."""

    kind: str  # what a difference is called
    name: str  # the document's, in messages
    allowed: Collection[str] = ()  # fields that may be added


Differences = Iterable[tuple[str, str | None]]


def report_differences(differing: Differences, one: Differing, found: Findings) -> None:
    """Report what differs from the plan; fields that others added are only noted."""
    for place, text in differing:
        field = place.removeprefix(".")
        if text is not None:
            do = "restore what the plan says, or run the config again with overwrite true"
            found.problem(one.kind, f"{one.name}: {field or 'all'}", text, do)
        elif field not in one.allowed:
            found.note(f"{one.name}: {field} was not written by zblocks")


def _has_objects(values: list[Any]) -> bool:
    return any(isinstance(one, dict) for one in values)


def differences(actual: Any, planned: Any, place: str = "") -> Iterator[tuple[str, str | None]]:
    """Walk the fields that differ, with the planned value; None for what isn't in the plan."""
    if isinstance(actual, dict) and isinstance(planned, dict):
        for name in [*planned, *(n for n in actual if n not in planned)]:
            if name not in planned:
                yield f"{place}.{name}", None
            elif name not in actual:
                yield f"{place}.{name}", f"is missing where the plan says {planned[name]!r:.100}"
            else:
                yield from differences(actual[name], planned[name], f"{place}.{name}")
    elif isinstance(actual, list) and isinstance(planned, list) and _has_objects(planned):
        for n, one in enumerate(planned):
            if n < len(actual):
                yield from differences(actual[n], one, f"{place}[{n}]")
            else:
                yield f"{place}[{n}]", f"is missing where the plan says {one!r:.100}"
        for n in range(len(planned), len(actual)):
            yield f"{place}[{n}]", None
    elif actual != planned:
        yield place, f"is {actual!r:.100} where the plan says {planned!r:.100}"


KIND = "segment-properties"


def check_segments(store: Store, info: dict[str, Any], found: Findings) -> None:
    """Check the document that `segment_properties` names, if it names one."""
    folder = info.get("segment_properties")
    if not isinstance(folder, str) or ".." in folder.split("/"):
        return  # a wrong type is reported for `info`; what lies outside the volume isn't read
    place = f"{folder.strip('/')}/info"
    document = read_document(store, place, KIND, found)
    if document is None:
        if store.head(place) is None:
            text = "is missing, and info refers to it"
            found.problem(KIND, place, text, "restore it, or remove segment_properties from info")
        return
    try:
        if fault := _fault(document):
            found.problem(KIND, place, fault, RERUN)
    except MALFORMED as error:
        text = f"can't be read ({type(error).__name__}: {str(error)[:200]})"
        found.problem(KIND, place, text, RERUN)


def _fault(document: dict[str, Any]) -> str:
    if document["@type"] != "neuroglancer_segment_properties":
        return f"has the @type {document['@type']!r:.100}"
    ids = document["inline"]["ids"]
    odd = next((i for i in ids if not (isinstance(i, str) and i.isdecimal())), None)
    if odd is not None:
        return f"has the id {odd!r:.100}, which is not a whole number as text"
    if len(set(ids)) < len(ids):
        return "has an id twice"
    for one in document["inline"]["properties"]:
        if len(one["values"]) != len(ids):
            return f"has {len(one['values'])} values of {one['id']!r:.100} for {len(ids)} ids"
    return ""
