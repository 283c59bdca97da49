"""Read a config's JSON, and describe what is wrong with it: one line per problem."""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from zblocks.config.fields import Fields
from zblocks.errors import InvalidConfig, find_key, names_a_key, printable

MAX_BYTES = 10 * 2**20
MAX_UNKNOWN = 20  # unknown fields that are named

_JSON = (
    ("Expecting ',' delimiter", "put a comma between the values before and after this position"),
    ("Expecting property name", 'put a name in "double quotes" here, or remove the last comma'),
    ("Illegal trailing comma", "remove the comma after the last field or number"),
    ("Expecting ':' delimiter", "put a colon between the name and its value"),
    ("Expecting value", 'put a value here: a number, true, false, or text in "double quotes"'),
    ("Unterminated string", 'end the text that begins here with a double quote: "'),
    ("Invalid \\escape", "write / in paths, or two backslashes for each one"),
    ("Extra data", "remove what follows the last }"),
)
"""What to do about the errors of Python's parser."""


def read_object(data: bytes, where: str) -> dict[str, object]:
    """Read a JSON object without repeated fields; `where` names it in errors.

    Raises InvalidConfig: not such a document, or larger than any config.
    """
    try:
        if len(data) > MAX_BYTES:
            raise InvalidConfig(f"{where}: larger than 10 MB, so not a config; check the path")
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
        raise InvalidConfig(f"{where}: found {show(document)}; give one JSON object of fields")
    return document


def read_file(path: Path) -> bytes:
    """Read a config file, up to one byte more than `MAX_BYTES`.

    Raises InvalidConfig: it can't be read.
    """
    try:
        if not path.is_file() and path.exists():  # a device or a FIFO would never end
            raise InvalidConfig(f"{path}: not a file; give the path of a config file")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidConfig(f"{path}: can't be read ({error.strerror}); check the path") from error


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    data: dict[str, object] = {}
    for name, value in pairs:
        if name in data:
            raise ValueError(f"{show(name)} appears twice")
        data[name] = value
    return data


def held_keys(data: Mapping[str, object], known: list[str]) -> Iterator[str]:
    """Yield a problem for each field that seems to hold a key; values are never shown."""
    for name, value in data.items():
        kind = find_key(str(name)) or find_key(value)
        if kind or names_a_key(str(name)):
            yield (
                f"{name if name in known else show(name)}: contains what looks like "
                f"{kind or 'a key, by its name'} (not shown), and a copy of the config is stored "
                "with the volume; remove it, and replace the key if others can read this config. "
                "Give access with IAM roles in the cloud, with s3_creds_file on one machine"
            )


def unknown_fields(data: Mapping[str, object], known: list[str]) -> Iterator[str]:
    """Yield a problem for each unknown field, with the nearest known name."""
    unknown = [name for name in data if name not in known]
    for name in unknown[:MAX_UNKNOWN]:
        near = difflib.get_close_matches(str(name)[:100].lower(), known, n=1)
        do = f'did you mean "{near[0]}"?' if near else "remove it, or see the table of fields"
        yield f"{show(name)}: no such field; {do}"
    if len(unknown) > MAX_UNKNOWN:
        yield f"and {len(unknown) - MAX_UNKNOWN} more unknown fields; check the path"


def field_problems(error: ValidationError, given: Mapping[str, object]) -> Iterator[str]:
    """Yield one problem per field; pydantic reports each branch of a union and each element."""
    reasons: dict[str, str] = {}
    for one in error.errors(include_url=False):
        name = str(one["loc"][0])
        cause = one.get("ctx", {}).get("error")
        reasons[name] = reasons.get(name) or (f", which {cause}" if cause else "")
    for name, reason in reasons.items():
        found = f"found {show(given[name])}{reason}" if name in given else "missing"
        yield f"{name}: {found}; give {describe(name)}"


def describe(name: str) -> str:
    """Return the description of a field, which completes "give …"."""
    fields = {info.alias or key: info for key, info in Fields.model_fields.items()}
    return str(fields[name].description)


def invalid(problems: Iterable[str]) -> InvalidConfig:
    """Return the error for one or more problems, one per line."""
    lines = list(problems)
    if len(lines) == 1:
        return InvalidConfig(lines[0])
    return InvalidConfig(f"{len(lines)} problems:\n  " + "\n  ".join(lines))


def show(value: object) -> str:
    """Return a value as JSON on one line, at most 80 characters; without what looks like a key."""
    if kind := find_key(value):
        return f"what looks like {kind} (not shown)"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = f"a {type(value).__name__} that is not a JSON value"
    return printable(text)
