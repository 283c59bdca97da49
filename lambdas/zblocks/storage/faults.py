"""Translates obstore's errors, and finds entries of local folders that it skips or fails on."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from obstore import exceptions

from zblocks.errors import InvalidConfig, StorageError, ZblocksError, hide_keys, printable

NO_BUCKET = "NoSuchBucket"
_DENIED = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)


@contextmanager
def translated(place: str, denied: str, *, local: bool) -> Iterator[None]:
    """Raise the errors of a store as ours; missing objects and failed conditions pass unchanged.

    `place` is the object's URL; `denied` says what to do if access is denied.

    Raises:
        InvalidConfig: access, bucket, region or name is wrong; no retry will help.
        StorageError: anything else, after obstore's own retries.
    """
    try:
        yield
    except FileNotFoundError as error:
        if NO_BUCKET in str(error):
            raise _translate(place, error, denied, local=local) from error
        raise
    except (ValueError, OSError, exceptions.BaseError) as error:
        conditions = (exceptions.AlreadyExistsError, exceptions.PreconditionError)
        if isinstance(error, conditions) and not is_conflict(error):
            raise
        raise _translate(place, error, denied, local=local) from error


def is_conflict(error: BaseException | None) -> bool:
    """Return whether S3 answered 409: another request for the object was under way, so try again.

    obstore raises AlreadyExistsError for it, as for the 412 of an object that exists.
    """
    return isinstance(error, exceptions.AlreadyExistsError) and "409 Conflict" in str(error)


def _translate(place: str, error: Exception, denied: str, *, local: bool) -> ZblocksError:
    said, short = _said(error), _shorten(error)
    sign = "os error 13" if local else "status code: 403"  # a refused listing has no class
    if "<Code>InvalidObjectState</Code>" in said:
        what = _archived(place, said)
    elif isinstance(error, _DENIED) or sign in said:
        what = f"{denied} ({short})"
    elif isinstance(error, ValueError):
        what = f"not a valid object name ({short}); correct it"
    elif isinstance(error, exceptions.InvalidPathError):
        what = f"a name that can't be read ({short}); rename or remove the file"
    elif NO_BUCKET in said:
        what = "no such bucket; check the name in the config"
    elif "incorrectly configured region" in said:
        text = "the bucket is in another region, and didn't say in which; rerun"
        return StorageError(f"{place}: {text}")
    elif local and "os error 28" in said:
        text = "the disk is full; free some space and rerun: finished work is kept"
        return StorageError(f"{place}: {text}")
    else:
        return StorageError(f"{place}: the store failed after retries: {short}")
    return InvalidConfig(f"{place}: {what}")


def _said(error: Exception) -> str:
    """Return an error's text; for errors of the operating system, as obstore words it."""
    if isinstance(error, OSError) and error.errno:
        return f"{error.filename or 'write'}: {error.strerror} (os error {error.errno})"
    return str(error)


def _archived(place: str, said: str) -> str:
    """Return what to do with an object that must be restored before it can be read."""
    tiers = list(dict.fromkeys(re.findall(r"<(?:StorageClass|AccessTier)>(\w+)<", said)))
    # Intelligent-Tiering takes no days: what is restored stays in its frequent tier.
    request = "{}" if "INTELLIGENT_TIERING" in tiers else '{"Days": 7}'
    _, _, bucket, key = place.split("/", 3)
    command = f"--bucket {bucket} --key {shlex.quote(key)} --restore-request '{request}'"
    return (
        f"archived ({', '.join(tiers)}), so that it can't be read; restore it and all others like "
        f"it, which takes hours, then rerun: aws s3api restore-object {command}"
    )


def _shorten(error: Exception) -> str:
    """Return the first line of obstore's long messages, printable and without keys."""
    text = _said(error).strip().partition("\n\n")[0].removesuffix("Debug source:")
    return printable(hide_keys(text), 300)


_BAD_NAME = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""Characters in a name that keep obstore from listing its folder."""


def odd_entries(root: Path, folder: str) -> Iterator[tuple[str, str, bool]]:
    """Walk the entries of a store's local folder that are neither regular files nor plain folders.

    Yields the key, what it is, and whether it keeps the folder from being listed.
    """
    try:
        entries = os.scandir(os.path.join(root, folder))  # noqa: PTH118 (a list may name many)
    except OSError:
        return  # every slice in it is reported as missing
    above = [root / p for p in (Path(folder), *Path(folder).parents)[:-1]]
    if link := next((p for p in above if p.is_symlink()), None):
        yield f"{folder}/*", f"{link} is a link to another folder", True
        return
    with entries as it:
        for entry in it:
            why, blocks = _oddness(entry)
            if why:
                name = printable(os.fsencode(entry.name).decode(errors="replace"), 255)
                yield f"{folder}/{name}".strip("/"), why, blocks


def _oddness(entry: os.DirEntry[str]) -> tuple[str, bool]:
    """Return what is odd about an entry (empty for nothing), and whether it blocks the listing."""
    if _BAD_NAME.search(entry.name):
        return "has a control character, or one that is not UTF-8, in its name", True
    try:
        if entry.is_file() or entry.is_dir(follow_symlinks=False):
            return "", False
        mode = entry.stat().st_mode
    except FileNotFoundError:
        return "is a link to a missing file", False
    except OSError as error:
        return f"is a link that can't be followed ({error.strerror})", True
    if stat.S_ISDIR(mode):
        here, there = Path(entry.path).parent.resolve(), Path(entry.path).resolve()
        return "is a link to a folder", there in (here, *here.parents)
    return "is a device, FIFO or socket", False
