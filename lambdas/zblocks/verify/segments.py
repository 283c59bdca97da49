"""The names of labels that `info` refers to.

Format: Neuroglancer, `src/datasource/precomputed/segment_properties.md`.
"""

from __future__ import annotations

from typing import Any

from zblocks.storage import Store
from zblocks.verify.documents import GARBLED, RERUN, read_document
from zblocks.verify.findings import Findings

KIND = "segment-properties"


def check_segments(store: Store, info: Any, found: Findings) -> None:
    """Check the document that `segment_properties` names, if it does."""
    folder = info.get("segment_properties") if isinstance(info, dict) else None
    if not isinstance(folder, str) or ".." in folder.split("/"):
        return  # a wrong type is said of `info`; beyond the volume nothing is ours to look at
    place = f"{folder.strip('/')}/info"
    document = read_document(store, place, KIND, found)
    if document is None:
        if store.head(place) is None:
            text = "is not there, and info refers to it"
            found.problem(KIND, place, text, "put it back, or take segment_properties from info")
        return
    try:
        if fault := _fault(document):
            found.problem(KIND, place, fault, RERUN)
    except GARBLED as error:
        text = f"can't be read ({type(error).__name__}: {str(error)[:200]})"
        found.problem(KIND, place, text, RERUN)


def _fault(document: dict[str, Any]) -> str:
    """Return what is wrong with a document; empty for nothing."""
    if document["@type"] != "neuroglancer_segment_properties":
        return f"has the @type {document['@type']!r:.100}"
    ids = document["inline"]["ids"]
    odd = next((i for i in ids if not (isinstance(i, str) and i.isdecimal())), None)
    if odd is not None:
        return f"has the id {odd!r:.100}, which is no whole number in a text"
    if len(set(ids)) < len(ids):
        return "has an id twice"
    for one in document["inline"]["properties"]:
        if len(one["values"]) != len(ids):
            return f"has {len(one['values'])} values of {one['id']!r:.100} for {len(ids)} ids"
    return ""
