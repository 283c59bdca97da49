"""Downloads slices to a folder, and uploads a volume from a folder to a bucket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from zblocks.config import Config
from zblocks.errors import DestinationConflict, InvalidConfig
from zblocks.planning.find_slices import list_slices
from zblocks.planning.stores import access_of, open_stores
from zblocks.precomputed.info import INFO, PROVENANCE
from zblocks.precomputed.scale import IMAGES
from zblocks.run.job import is_work
from zblocks.storage import IMMUTABLE, SIDE_FILES, open_store, open_writable

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

    Raises:
        InvalidConfig: the config names no folder.
        SliceListError: the list doesn't name one slice per z.
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


def upload(config: Config, progress: Progress) -> Moved:
    """Copy a finished volume from `folder_to_convert_to` to the upload bucket; `info` goes last.

    With `overwrite` false, objects that are there already are left alone.

    Raises:
        InvalidConfig: the folder holds no finished volume.
        DestinationConflict: the bucket holds another volume, and `overwrite` is false.
    """
    if config.upload_folder is None or not config.s3_bucket_name_for_upload:
        msg = "folder_to_convert_to and s3_bucket_name_for_upload: upload needs both; give them"
        raise InvalidConfig(msg)
    source = open_store(f"file://{config.upload_folder}")
    target = open_writable(config.destination, access_of(config))
    if not source.head(INFO):
        msg = f"{source.url} holds no finished volume (no info); convert first"
        raise InvalidConfig(f"folder_to_convert_to: {msg}")
    info = source.get(INFO)
    found = None if config.overwrite or not target.head(INFO) else target.get(INFO)
    if found is not None and json.loads(found) != json.loads(info):
        raise DestinationConflict(
            f"{target.url}: already holds a different volume; choose another s3_dir_to_write_to, "
            'or set "overwrite": true to replace it'
        )
    last = [k for k in (PROVENANCE, INFO) if source.head(k)]
    chunks = [o.key for o in source.list() if not is_work(o.key) and o.key not in last]
    there = set() if config.overwrite else {o.key for o in target.list()}
    wanted = [key for key in chunks if _unpacked(key)[0] not in there]
    encoding = json.loads(info)["scales"][0].get("encoding")

    def copy(key: str) -> None:
        name, packing = _unpacked(key)
        image = encoding in IMAGES and not name.endswith(".shard")
        kind = f"image/{encoding}" if image else "application/octet-stream"
        target.put(name, source.get(key), kind, packing, IMMUTABLE)

    if config.overwrite:
        target.delete([INFO])
    _each(copy, wanted, progress)
    for key in last:
        target.put_json(key, source.get(key))
    return Moved(len(wanted) + len(last), len(chunks) - len(wanted), ())


def _unpacked(key: str) -> tuple[str, str]:
    """Return a side file's name in a bucket, and its Content-Encoding."""
    for packing, ending in SIDE_FILES.items():
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
