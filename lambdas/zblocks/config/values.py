"""Kinds of values in a config, each with its check.

A check raises ValueError with a clause for the sentence `found "a b", which …`: `is not a valid
bucket name`.
"""

from __future__ import annotations

import os.path
import re
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self
from urllib.parse import quote, unquote

from pydantic import (
    AfterValidator,
    AllowInfNan,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    model_validator,
)

IMAGE_EXTENSIONS = (
    ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".tf2", ".tf8", ".btf", ".svs", ".jp2", ".j2k",
    ".j2c", ".jpc", ".jpx", ".bmp", ".webp",
)  # fmt: skip

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_BUCKET = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}")


def is_image(key: str) -> bool:
    """Return whether a key has the extension of an image, and isn't hidden."""
    path = PurePosixPath(key)
    return path.suffix.lower() in IMAGE_EXTENSIONS and not path.name.startswith(".")


def printable(text: str) -> str:
    """Check a part of a key."""
    if CONTROL.search(text):
        raise ValueError("contains a control character")
    if ".." in text.split("/"):
        raise ValueError('contains ".."')
    return text


def _prefix(text: str) -> str:
    """Check the beginning of a key; it may end with one "/"."""
    if "" in printable(text).removesuffix("/").split("/") and text:
        raise ValueError('begins with "/" or contains "//"')
    return text


def directory(text: str) -> str:
    """Check a folder's key; return it without slashes at its end."""
    if "?" in text or "#" in text:
        raise ValueError('contains "?" or "#", which end the path of a URL')
    return _prefix(text.rstrip("/"))


def extension(text: str) -> str:
    """Check the end of a key."""
    if f".{text.lower()}" in IMAGE_EXTENSIONS:
        raise ValueError(f'lacks its dot, so write ".{text}"')
    return printable(text)


def _bucket(text: str) -> str:
    if text.startswith("s3://"):
        bucket = text.removeprefix("s3://").split("/")[0]
        msg = f'is a URL, so write "{bucket}" (or use "source" and "destination" for URLs)'
        raise ValueError(msg)
    if text and not _BUCKET.fullmatch(text):
        raise ValueError("is not a valid bucket name (3 to 63 of a-z, 0-9, dot and hyphen)")
    return text


def _path(text: str) -> str:
    if CONTROL.search(text):
        raise ValueError("contains a control character")
    return text


def _url(text: str) -> str:
    """s3://bucket[/prefix] or file:///folder, without a slash at the end."""
    scheme, _, rest = text.partition("://")
    if scheme == "s3" and rest:
        bucket, _, prefix = rest.partition("/")
        prefix = directory(prefix)
        return f"s3://{_bucket(bucket)}" + (f"/{prefix}" if prefix else "")
    if scheme == "file" and rest.startswith("/"):
        return file_url(_path(unquote(rest)))
    if scheme == "file":
        raise ValueError("needs three slashes and an absolute path")
    if "://" not in text and text.startswith(("/", "~")):
        full = os.path.expanduser(text)  # noqa: PTH111 (it leaves unknown users as they are)
        raise ValueError(f'is a path; as a URL it is "{file_url(full)}"')
    raise ValueError("is not an s3:// or file:/// URL")


def folder_path(path: str) -> str:
    """Return an absolute path without "." and ".."."""
    return "/" + os.path.normpath(path).lstrip("/")


def file_url(path: str) -> str:
    """Return the URL of a folder."""
    return f"file://{quote(folder_path(path))}"


def role(text: str) -> str:
    """Check the ARN of a role."""
    if text and not _ROLE.fullmatch(text):
        raise ValueError('is not like "arn:aws:iam::111122223333:role/name"')
    return text


def list_place(text: str) -> str:
    """Check where a list of slices is: a path, a key or a URL."""
    if "://" not in text:
        return _path(text)
    url = _url(text)
    if url.startswith("s3://") and url.count("/") < 3:
        raise ValueError("is a bucket without a key")
    return url


Listed = (
    str
    | Annotated[tuple[str | None, int], Strict(False)]
    | Annotated[dict[str, str | int | None], Field(max_length=50)]
    | None
)
"""An item of a list of slices: a line, or a name with its index."""
Prefix = Annotated[str, Field(max_length=1024), AfterValidator(_prefix)]
Bucket = Annotated[str, AfterValidator(_bucket)]
LocalPath = Annotated[str, Field(max_length=4096), AfterValidator(_path)]
Url = Annotated[str, Field(max_length=2048), AfterValidator(_url)]
ListPlace = Annotated[str, Field(max_length=4096), AfterValidator(list_place)]
Nanometres = Annotated[float, Field(gt=0, le=1e9), AllowInfNan(False)]
Voxel = Annotated[int, Field(ge=-(2**31) + 1, le=2**31 - 1)]
ChannelNumbers = Annotated[
    tuple[Annotated[int, Field(ge=0, lt=64)], ...],
    Strict(False),
    Field(min_length=1, max_length=64),
]
OutputFormat = Literal["precomputed", "ome-zarr"]
OutputFormats = Annotated[
    tuple[OutputFormat, ...], Strict(False), Field(min_length=1, max_length=2)
]
Edge = Annotated[int, Field(ge=1, le=2048)]


class _Object(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Filter(_Object):
    """Selects slices by their whole name: with either a glob or a regular expression."""

    glob: Annotated[str, Field(min_length=1, max_length=1024), AfterValidator(printable)] | None = (
        None
    )
    regex: Annotated[str, Field(min_length=1, max_length=1024)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Filter:
        if (self.glob is None) == (self.regex is None):
            raise ValueError("needs either glob or regex")
        return self

    def __str__(self) -> str:
        return f"glob {self.glob}" if self.regex is None else f"regex {self.regex}"


_Pixels = Annotated[int, Field(ge=1, le=10**6)]


class Canvas(_Object):
    """The canvas for slices of different sizes."""

    size: Literal["max"] | Annotated[tuple[_Pixels, _Pixels], Strict(False)] = "max"
    """Width and height in pixels; `max`: the largest of the stack."""
    align: Literal["center", "top-left"] = "center"
    fill: Annotated[int, Field(ge=0, le=2**32 - 1)] | None = None
    """Value outside the slice; None: white, as in the 2019 script, or 0 for labels."""


def _ascending(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] >= pair[1]:
        raise ValueError(f"has {pair[1]:g} where a number above {pair[0]:g} is needed")
    return pair


_Percent = Annotated[float, Field(ge=0, le=100), AllowInfNan(False)]
_Value = Annotated[float, Field(ge=-3e38, le=3e38), AllowInfNan(False)]
_Place = Annotated[int, Field(ge=0, le=10**7)]


class Contrast(_Object):
    """The values that become the lowest and the highest of the volume's type."""

    percentiles: (
        Annotated[tuple[_Percent, _Percent], Strict(False), AfterValidator(_ascending)] | None
    ) = None
    """Measured over the whole stack."""
    range: Annotated[tuple[_Value, _Value], Strict(False), AfterValidator(_ascending)] | None = None
    """The values themselves."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.percentiles is None) == (self.range is None):
            raise ValueError("needs either percentiles or range")
        return self


_Span = Annotated[tuple[_Place, _Place], Strict(False), AfterValidator(_ascending)]


class Region(_Object):
    """The part of the stack to convert: half-open ranges of pixels and of slices."""

    x: _Span | None = None
    y: _Span | None = None  # pixels from the left and the top of a slice, or of the canvas
    z: _Span | None = None  # slices; 0 is the one with the smallest index
