"""obstore's errors as ours: which object, what is wrong, what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from obstore import exceptions

from zblocks.errors import InvalidConfig, StorageError, ZblocksError, printable
from zblocks.redaction import hide_keys

NO_BUCKET = "NoSuchBucket"
_DENIED = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)


@contextmanager
def translated(place: str, *, local: bool) -> Iterator[None]:
    """Raise the store's errors as ours; missing objects and failed conditions pass unchanged.

    `place` is the object's URL, for the message.

    Raises:
        InvalidConfig: access, bucket, region or name is wrong; no retry will help.
        StorageError: anything else, after obstore's own retries.
    """
    try:
        yield
    except FileNotFoundError as error:
        if NO_BUCKET in str(error):
            raise _translate(place, error, local=local) from error
        raise
    except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
        raise
    except (ValueError, exceptions.BaseError) as error:
        raise _translate(place, error, local=local) from error


def _translate(place: str, error: Exception, *, local: bool) -> ZblocksError:
    said, short = str(error), _shorten(error)
    denied = isinstance(error, _DENIED) or (local and "os error 13" in said)
    if denied and local:
        what = f"permission denied; ask the folder's owner, or change its permissions ({short})"
    elif denied:
        what = f"access denied; check the credentials and their permissions here ({short})"
    elif isinstance(error, ValueError):
        what = f"not a valid object name ({short}); correct it"
    elif isinstance(error, exceptions.InvalidPathError):
        what = f"a name that can't be read ({short}); rename or remove the file"
    elif NO_BUCKET in said:
        what = "no such bucket; check the name in the config"
    elif "incorrectly configured region" in said:
        what = (
            "the bucket is in another region; set AWS_REGION to the bucket's region, or region in "
            "the file of s3_creds_file"
        )
    elif local and "os error 28" in said:
        text = "the disk is full; free some space and rerun: finished work is kept"
        return StorageError(f"{place}: {text}")
    else:
        return StorageError(f"{place}: the store failed after retries: {short}")
    return InvalidConfig(f"{place}: {what}")


def _shorten(error: Exception) -> str:
    """Return the first line of obstore's long messages, printable and without keys."""
    text = str(error).strip().partition("\n\n")[0].removesuffix("Debug source:")
    return printable(hide_keys(text), 300)
