"""The images below the root of an OME-Zarr hierarchy, found by its documents.

Format: OME-Zarr 0.4 on Zarr 2 and 0.5 on Zarr 3; layout 3 of bioformats2raw; groups of labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from zblocks.errors import InvalidConfig
from zblocks.omezarr.fields import FieldError
from zblocks.omezarr.multiscale import parse_path
from zblocks.storage import Store
from zblocks.verify.documents import read_document
from zblocks.verify.findings import Findings

ROOTS = {3: ("zarr.json",), 2: (".zgroup", ".zattrs", ".zarray")}
"""Documents of a group by the version of Zarr; one of them makes it one."""

LAYOUT = "bioformats2raw.layout"
MAX_IMAGES = 1000  # that are checked
VERSIONS = {3: "0.5", 2: "0.4"}  # of OME-Zarr, by the version of Zarr


@dataclass(frozen=True, slots=True)
class Group:
    """A group with the metadata of OME-Zarr that its document holds."""

    path: str  # its folder, relative to the root; empty for the root itself
    zarr: int  # version of Zarr
    ome: dict[str, Any]
    attributes: dict[str, Any]  # all of them
    parent: Group | None = None  # of labels: the image that they belong to

    @property
    def level_count(self) -> int:
        """Levels of its first image, unchecked."""
        try:
            return len(self.ome["multiscales"][0]["datasets"])
        except (IndexError, KeyError, TypeError):
            return 0

    @property
    def document(self) -> str:
        """The key of its metadata."""
        return join(self.path, "zarr.json" if self.zarr == 3 else ".zattrs")

    def place(self, field: str) -> str:
        """Return a field's place, for messages."""
        return f"{self.document}: {field}"


def join(*parts: str) -> str:
    """Return the key of what lies in a folder; the root's is empty."""
    return "/".join(part for part in parts if part)


def zarr_version(store: Store) -> int:
    """Return the version of Zarr at a store's root; 0: none."""
    found = (v for v, names in ROOTS.items() if any(store.head(name) for name in names))
    return next(found, 0)


def find_images(store: Store, zarr: int, found: Findings) -> list[Group]:
    """Return the images at a store's root, those of labels last; note what can't be checked.

    Raises InvalidConfig: it is an array and no image.
    """
    root = read_group(store, "", zarr, found)
    if zarr == 3 and any(store.head(name) for name in ROOTS[2]):
        found.cannot("the documents of Zarr 2 beside zarr.json: that of Zarr 3 is checked")
    if root is None:
        return []
    for name in ("plate", "well"):
        if name in root.ome:
            found.cannot(f"{root.document}: is a {name}; check its images one by one")
            return []
    groups = list(_below(store, root, found)) if LAYOUT in root.ome else [root]
    if len(groups) > MAX_IMAGES:
        found.cannot(f"{len(groups)} images: only the first {MAX_IMAGES} are checked")
    labels = [label for group in groups for label in _labels(store, group, found)]
    return [*groups, *labels][:MAX_IMAGES]


def read_group(store: Store, path: str, zarr: int, found: Findings) -> Group | None:
    """Read a group; None where it can't be used, which is noted."""
    first = ROOTS[zarr][0]
    key = join(path, first)
    document = read_document(store, key, "group-not-json", found)
    if zarr == 2 and document is None and store.head(join(path, ".zarray")):
        document = {"node_type": "array"}
    if document is None:
        if store.head(key) is None:
            do = "write it again, or correct what refers to it"
            found.problem("missing-group", key, "is missing, so readers find no group", do)
        return None
    if not isinstance(document, dict) or document.get("node_type", "group") != "group":
        if not path and isinstance(document, dict):
            msg = f"{store.url}: is a Zarr array of its own, not an OME-Zarr image; give its group"
            raise InvalidConfig(msg)
        found.problem("bad-group", key, "is not the document of a group", "write it again")
        return None
    if document.get("zarr_format") != zarr:
        text = f"is {document.get('zarr_format')!r:.100}"
        found.problem("bad-zarr-format", f"{key}: zarr_format", text, f"write {zarr}")
    attributes = document.get("attributes", {}) if zarr == 3 else None
    if zarr == 2:
        attributes = read_document(store, join(path, ".zattrs"), "group-not-json", found)
    attributes = attributes if isinstance(attributes, dict) else {}
    return _group(path, zarr, attributes, found)


def _group(path: str, zarr: int, attributes: dict[str, Any], found: Findings) -> Group | None:
    """Return a group, whose metadata of OME-Zarr lies where its version has it."""
    ome = attributes.get("ome", {}) if zarr == 3 else attributes
    group = Group(path, zarr, ome if isinstance(ome, dict) else {}, attributes)
    if group.ome:
        return group
    text = 'has no "ome" among its attributes' if zarr == 3 else "has no metadata of OME-Zarr"
    if "multiscales" in attributes:
        text += ', but "multiscales", as OME-Zarr 0.4 has it on Zarr 2'
    found.problem("no-ome", group.document, text, "write the metadata of OME-Zarr 0.5")
    return None


def _below(store: Store, root: Group, found: Findings) -> Iterator[Group]:
    """Yield the images of the layout of bioformats2raw: `OME` lists them, or they are counted."""
    if root.ome[LAYOUT] != 3:
        text = f"is {root.ome[LAYOUT]!r:.100}; 3 is the only one that is specified"
        found.problem("bad-layout", root.place(LAYOUT), text, "write 3")
    first = ROOTS[root.zarr][0]
    listed: Any = None
    if store.head(f"OME/{first}") is not None:
        group = read_group(store, "OME", root.zarr, found)
        listed = group.ome.get("series") if group else None
    if listed is None:
        listed = []
        while len(listed) <= MAX_IMAGES and store.head(f"{len(listed)}/{first}") is not None:
            listed.append(str(len(listed)))
    if not listed:
        found.problem("no-images", root.document, "has no images", "write the images 0, 1, …")
    yield from _named(store, root, "", listed, found)


def _labels(store: Store, image: Group, found: Findings) -> Iterator[Group]:
    """Yield the images of labels that belong to an image."""
    path = join(image.path, "labels")
    if store.head(join(path, ROOTS[image.zarr][0])) is None:
        return
    group = read_group(store, path, image.zarr, found)
    if group is not None:
        for labels in _named(store, group, path, group.ome.get("labels"), found):
            if labels.level_count != image.level_count:
                text = f"has {labels.level_count} levels where its image has {image.level_count}"
                found.note(f"{labels.document}: {text}; the specification asks for as many")
            yield replace(labels, parent=image)


def _named(
    store: Store, parent: Group, folder: str, names: Any, found: Findings
) -> Iterator[Group]:
    """Yield the groups that a document lists by their paths."""
    try:
        paths = [parse_path({"path": name}) for name in names]
    except (FieldError, TypeError):
        text = f"lists {names!r:.100}, which aren't folders of images"
        found.problem("bad-path", parent.document, text, "list the folders of the images")
        return
    for path in paths:
        group = read_group(store, join(folder, path), parent.zarr, found)
        if group is not None:
            yield group
