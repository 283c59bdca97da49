"""A config's document, and what is said of one that can't be used: one line for each problem."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from zblocks.config.fields import Fields
from zblocks.config.values import CONTROL
from zblocks.errors import InvalidConfig
from zblocks.redaction import find_key, names_a_key

COMMENT = "//"
"""What the name of a field begins with that is there for people only: JSON has no comments."""

MAX_BYTES = 10 * 2**20
SHOWN = 20
"""Unknown fields that are named one by one."""

_JSON = (
    ("Expecting ',' delimiter", "put a comma between what stands before and after this place"),
    ("Expecting property name", 'put a name in "double quotes" here, or take the last comma away'),
    ("Illegal trailing comma", "take the comma after the last field or number away"),
    ("Expecting ':' delimiter", "put a colon between the name and its value"),
    ("Expecting value", 'put a value here: a number, true, false, or text in "double quotes"'),
    ("Unterminated string", 'end the text that begins here with a double quote: "'),
    ("Invalid \\escape", "write / in paths, or two backslashes for each one"),
    ("Extra data", "take away what stands after the last }"),
)
"""What to do about what Python's reader says."""


def read_object(data: bytes, where: str) -> dict[str, object]:
    """Read a JSON document whose root is an object with no field twice.

    Args:
        data: the document.
        where: names it in errors.

    Raises:
        InvalidConfig: it is none, or larger than any config.
    """
    try:
        if len(data) > MAX_BYTES:
            raise InvalidConfig(f"{where}: larger than 10 MB, so it is no config; check the path")
        document = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        what = next((words for said, words in _JSON if error.msg.startswith(said)), "correct it")
        raise InvalidConfig(
            f"{where}: line {error.lineno}, column {error.colno}: not JSON ({error.msg}); {what}"
        ) from None
    except UnicodeDecodeError as error:
        raise InvalidConfig(f"{where}: byte {error.start} is not UTF-8; save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise InvalidConfig(f"{where}: {error}; correct it") from None
    if not isinstance(document, dict):
        raise InvalidConfig(f"{where}: holds {show(document)}; give one JSON object of fields")
    return document


def read_file(path: Path) -> bytes:
    """Read a config file, no more of it than any config has."""
    try:
        if not path.is_file() and path.exists():  # a device or a FIFO would never end
            raise InvalidConfig(f"{path}: is no file; give the path of a config file")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidConfig(f"{path}: can't be read ({error.strerror}); check the path") from error


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    data: dict[str, object] = {}
    for name, value in pairs:
        if name in data:
            raise ValueError(f"{show(name)} is there twice; keep one")
        data[name] = value
    return data


def held_keys(data: Mapping[str, object], known: list[str]) -> Iterator[str]:
    """Name the fields that hold what looks like a key; their values are never shown."""
    for name, value in data.items():
        kind = find_key(str(name)) or find_key(value)
        if kind or names_a_key(str(name)):
            yield (
                f"{name if name in known else show(name)}: holds what looks like "
                f"{kind or 'a key, by its name'} (not shown), but a config is kept beside its "
                "volume; remove it, and replace the key if others can read this config: in the "
                "cloud IAM roles give access, on one machine s3_creds_file names a file of keys"
            )


def unknown_fields(data: Mapping[str, object], known: list[str]) -> Iterator[str]:
    """Name the fields that no config has, with the nearest that one has."""
    unknown = [name for name in data if name not in known]
    for name in unknown[:SHOWN]:
        near = difflib.get_close_matches(str(name)[:100].lower(), known, n=1)
        do = f'did you mean "{near[0]}"?' if near else "remove it, or see the table of fields"
        yield f"{show(name)}: no such field; {do}"
    if len(unknown) > SHOWN:
        yield f"and {len(unknown) - SHOWN} more fields that don't exist; check the path"


def field_problems(error: ValidationError, given: Mapping[str, object]) -> Iterator[str]:
    """One line for each field; pydantic reports each branch of a union and each element."""
    reasons: dict[str, str] = {}
    for one in error.errors(include_url=False):
        name = str(one["loc"][0])
        cause = one.get("ctx", {}).get("error")
        reasons[name] = reasons.get(name) or (f", which {cause}" if cause else "")
    for name, reason in reasons.items():
        found = f"found {show(given[name])}{reason}" if name in given else "missing"
        yield f"{name}: {found}; give {describe(name)}"


def describe(name: str) -> str:
    """Return what to give for a field."""
    fields = {info.alias or key: info for key, info in Fields.model_fields.items()}
    return str(fields[name].description)


def invalid(problems: Iterable[str]) -> InvalidConfig:
    """Return the error for one problem or more, each on a line."""
    lines = list(problems)
    if len(lines) == 1:
        return InvalidConfig(lines[0])
    return InvalidConfig(f"{len(lines)} problems:\n  " + "\n  ".join(lines))


def show(value: object) -> str:
    """As JSON, on one line, at most 80 characters; what looks like a key is not shown."""
    if kind := find_key(value):
        return f"what looks like {kind} (not shown)"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = f"a {type(value).__name__} that is no JSON value"
    text = CONTROL.sub("?", text)
    return text if len(text) <= 80 else text[:79] + "…"
