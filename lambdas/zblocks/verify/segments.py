"""The names of labels that `info` refers to.

Format: Neuroglancer, `src/datasource/precomputed/segment_properties.md`.
"""

from __future__ import annotations

from typing import Any

from zblocks.precomputed.documents import MALFORMED
from zblocks.storage import Store
from zblocks.verify.documents import RERUN, read_document
from zblocks.verify.findings import Findings

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
    """Return what is wrong with a document; empty if nothing is."""
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
