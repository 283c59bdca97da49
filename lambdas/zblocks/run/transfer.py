"""Downloads slices to a folder, and uploads a volume from a folder to a bucket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import PurePosixPath

from zblocks.config import Config
from zblocks.errors import DestinationConflict, InvalidConfig
from zblocks.omezarr.array import DOCUMENT
from zblocks.planning.find_slices import list_slices
from zblocks.planning.stores import open_stores
from zblocks.precomputed.info import INFO, PROVENANCE
from zblocks.precomputed.scale import ENDINGS, IMAGES
from zblocks.run.job import PLAN, is_work
from zblocks.storage import IMMUTABLE, Store, open_store

THREADS = 32  # objects copied concurrently
Progress = Callable[[int, int], None]  # called with (done, total) objects


@dataclass(frozen=True, slots=True)
class Moved:
    """What was copied."""

    copied: int
    kept: int  # objects that existed already and were left alone
    missing: tuple[str, ...]  # listed slices that don't exist, placeholders and gaps, by name


def download(config: Config, progress: Progress) -> Moved:
    """Copy the slices into `folder_to_write_to`, listed ones as `<index>_<name>_<ext>`.

    Files of the same size are left alone unless the config sets `overwrite`.

    Raises InvalidConfig: the config names no folder; SliceListError: the list doesn't name one
    slice per z.
    """
    if config.download_folder is None:
        msg = "folder_to_write_to: missing; give the folder that the slices are to be copied to"
        raise InvalidConfig(msg)
    stores = open_stores(config)
    source = stores.source
    slots, found, _ = list_slices(config, stores)
    target = open_store(f"file://{config.download_folder}")
    there = {o.key: o.bytes for o in target.list()}
    listed = config.slice_list is not None
    jobs = {
        s.key: config.download_name(s.name, s.index) if listed else s.name
        for s in slots
        if s.key is not None
    }
    wanted = {
        key: name
        for key, name in jobs.items()
        if config.overwrite or there.get(name) != found[key].bytes
    }

    def copy(key: str) -> None:
        target.put(wanted[key], source.get(key), "application/octet-stream")

    _each(copy, wanted, progress)
    missing = tuple(f"{s.name} ({s.why})" for s in slots if s.key is None)
    return Moved(len(wanted), len(jobs) - len(wanted), missing)


def upload(source: Store, target: Store, progress: Progress, *, overwrite: bool) -> Moved:
    """Copy a finished volume, in either format, from a folder to a bucket; its root goes last.

    Without `overwrite`, existing objects are kept, except chunks that another program copied there
    under their names in a folder, which end in `.gz`.

    Raises InvalidConfig: the folder holds no finished volume; DestinationConflict: the bucket holds
    another volume, and isn't to be overwritten.
    """
    root = next((key for key in (INFO, DOCUMENT) if source.head(key)), "")
    if not root:
        raise InvalidConfig(f"{source.url}: holds no finished volume (no info); convert first")
    info = source.get(root)
    found = None if overwrite or not target.head(root) else target.get(root)
    if found is not None and json.loads(found) != json.loads(info):
        raise DestinationConflict(
            f"{target.url}: already holds a different volume; choose another s3_dir_to_write_to, "
            'or set "overwrite": true to replace it'
        )
    last = [k for k in (PROVENANCE, root) if source.head(k)]
    chunks = [o.key for o in source.list() if not is_work(o.key) and o.key not in last]
    there = {o.key for o in target.list()}
    kept = set() if overwrite else there
    wanted = [key for key in chunks if _unpacked(key)[0] not in kept]
    encoding = json.loads(info)["scales"][0].get("encoding") if root == INFO else ""

    def copy(key: str) -> None:
        if PurePosixPath(key).name == DOCUMENT:
            target.put_json(key, source.get(key))
            return
        name, packing = _unpacked(key)
        image = encoding in IMAGES and not name.endswith(".shard")
        kind = f"image/{encoding}" if image else "application/octet-stream"
        target.put(name, source.get(key), kind, packing, IMMUTABLE)

    if overwrite:
        target.delete([root])
    _each(copy, wanted, progress)
    target.delete(key for key in chunks if _unpacked(key)[1] and key in there)
    if PLAN in there and source.head(PLAN) and source.get(PLAN) == target.get(PLAN):
        target.delete(key for key in there if is_work(key))  # of the folder, copied with it
    for key in last:
        target.put_json(key, source.get(key))
    return Moved(len(wanted) + len(last), len(chunks) - len(wanted), ())


def _unpacked(key: str) -> tuple[str, str]:
    """Return a side file's name in a bucket, and its Content-Encoding."""
    for packing, ending in ENDINGS.items():
        if key.endswith(ending):
            return key.removesuffix(ending), packing
    return key, ""


def _each(copy: Callable[[str], None], keys: Iterable[str], progress: Progress) -> None:
    with ThreadPoolExecutor(THREADS) as pool:
        jobs = [pool.submit(copy, key) for key in keys]
        try:
            for count, job in enumerate(as_completed(jobs), 1):
                job.result()
                progress(count, len(jobs))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
