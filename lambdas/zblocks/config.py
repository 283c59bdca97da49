"""What the user wants converted, from where, to where and how.

One JSON object, one frozen model: the fields of the seed tool and ours. `Config.parse` is the gate:
it refuses unknown fields (with the nearest known name), what this version can't do yet, odd values,
and places that don't go together, each with one line. It does no I/O; only `Config.load` and
`Credentials.load` read a file.

A slice's key, relative to `Config.source`, is s3_prefix + name + s3_parts + ext.
Urls of folders are percent-coded, as everywhere; those of buckets are plain.
"""

import difflib
import json
import os.path
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Final, Literal, Self
from urllib.parse import quote, unquote

from pydantic import (
    AfterValidator,
    AllowInfNan,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    Strict,
    ValidationError,
)

from zblocks.errors import InvalidConfig
from zblocks.keylike import find_key, names_a_key

NOT_YET: Final[Mapping[str, tuple[object, ...]]] = {
    "missing": ("hole", "nearest", "interpolate"),
    "max_cost_usd": (),
}
"""Designed, but not in this version: the values of a field, or () for the whole field."""

MAX_BYTES = 10 * 2**20
SHOWN = 20
"""Unknown fields that are named one by one."""

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".jp2")
SEED_EXT = ".tif"

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}")
_BUCKET = re.compile(r"(?!\d+\.\d+\.\d+\.\d+$)(?!.*[.-]{2})[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


# --- the kinds of values ------------------------------------------------------------------------


def _printable(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("has a control character")
    if ".." in text.split("/"):
        raise ValueError('has ".." in it')
    return text


def _prefix(text: str) -> str:
    """Check the beginning of a key: one "/" at its end is part of it."""
    if "" in _printable(text).removesuffix("/").split("/") and text:
        raise ValueError('begins with "/" or has "//" in it')
    return text


def _directory(text: str) -> str:
    if "?" in text or "#" in text:
        raise ValueError('has "?" or "#" in it, which ends the path of a url')
    return _prefix(text.rstrip("/"))


def _extension(text: str) -> str:
    if f".{text.lower()}" in IMAGE_EXTENSIONS:
        raise ValueError(f'has no dot, write ".{text}"')
    return _printable(text)


def _bucket(text: str) -> str:
    if text.startswith("s3://"):
        bucket = text.removeprefix("s3://").split("/")[0]
        raise ValueError(f'is a url, write "{bucket}" (or use "source" and "destination" for urls)')
    if text and not _BUCKET.fullmatch(text):
        raise ValueError("is no bucket name (3 to 63 of a-z, 0-9, dot and hyphen)")
    return text


def _path(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("has a control character")
    return text


def _url(text: str) -> str:
    """s3://bucket[/prefix] or file:///folder, without a slash at the end."""
    scheme, _, rest = text.partition("://")
    if scheme == "s3" and rest:
        bucket, _, prefix = rest.partition("/")
        prefix = _directory(prefix)
        return f"s3://{_bucket(bucket)}" + (f"/{prefix}" if prefix else "")
    if scheme == "file" and rest.startswith("/"):
        return _file_url(_path(unquote(rest)))
    if scheme == "file":
        raise ValueError("needs three slashes and the whole path")
    raise ValueError("is no s3:// or file:/// url")


def _folder_path(path: str) -> str:
    return "/" + os.path.normpath(path).lstrip("/")


def _file_url(path: str) -> str:
    return f"file://{quote(_folder_path(path))}"


def _role(text: str) -> str:
    if text and not _ROLE.fullmatch(text):
        raise ValueError('is not like "arn:aws:iam::111122223333:role/name"')
    return text


def _list_place(text: str) -> str:
    if "://" not in text:
        return _path(text)
    url = _url(text)
    if url.startswith("s3://") and url.count("/") < 3:
        raise ValueError("is a bucket without a key")
    return url


Prefix = Annotated[str, Field(max_length=1024), AfterValidator(_prefix)]
Bucket = Annotated[str, AfterValidator(_bucket)]
LocalPath = Annotated[str, Field(max_length=4096), AfterValidator(_path)]
Url = Annotated[str, Field(max_length=2048), AfterValidator(_url)]
Nanometres = Annotated[float, Field(gt=0, le=1e9), AllowInfNan(False)]
Voxel = Annotated[int, Field(ge=-(2**31) + 1, le=2**31 - 1)]
Edge = Annotated[int, Field(ge=1, le=2048)]


# --- the model ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListLocation:
    """Where the ordered list is: lines, or the first that exists of path and url."""

    lines: tuple[str, ...] = ()
    path: Path | None = None
    """Absolute; None in the cloud."""
    url: str | None = None

    def __str__(self) -> str:
        """For errors."""
        places = [str(self.path)] if self.path else []
        return " or ".join(places + ([self.url] if self.url else [])) or "sorted_filename"


class Canvas(BaseModel):
    """What slices of different sizes are put on."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    size: (
        Literal["max"]
        | Annotated[
            tuple[Annotated[int, Field(ge=1, le=10**6)], Annotated[int, Field(ge=1, le=10**6)]],
            Strict(False),
        ]
    ) = "max"
    """Width and height, pixels; `max`: the largest of the stack."""
    align: Literal["center", "top-left"] = "center"
    fill: Annotated[int, Field(ge=0, le=2**32 - 1)] = 255
    """Value of what a slice doesn't cover; the seed's helper padded with white."""


class Config(BaseModel):
    """A job, checked. Made by parse or load; the descriptions finish the sentence "give …"."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=False)

    schema_url: str | None = Field(
        None, alias="$schema", description="the address of this schema, for editors; not used"
    )
    s3_creds_file: LocalPath | None = Field(
        None,
        description="the path of a JSON file with access_key, secret_key and region; "
        "one machine only",
    )
    s3_bucket_name_for_download: Bucket | None = Field(
        None, description="the name of the bucket that holds the slices"
    )
    s3_prefix: Prefix = Field(
        "", description='the beginning of every slice\'s key, such as "stacks/brain_7/"'
    )
    s3_parts: Annotated[str, Field(max_length=1024), AfterValidator(_printable)] = Field(
        "", description='what stands between name and extension in a key, such as "_gray"'
    )
    ext: Annotated[str, Field(max_length=100), AfterValidator(_extension)] | None = Field(
        None,
        description='the end of every slice\'s key with its dot, such as ".jpg"; left out, '
        '".tif" for listed names, and any image when there is no list',
    )
    sorted_filename: (
        Annotated[str, Field(max_length=4096), AfterValidator(_list_place)]
        | Annotated[
            tuple[str, ...],
            Strict(False),
            Field(min_length=1, max_length=10**6, fail_fast=True),
        ]
        | None
    ) = Field(
        None,
        description='the ordered list with a line "<name> <index>" for each slice: a local path, '
        "an s3:// url, a key in the download bucket, or a list of the lines themselves; left out, "
        "all slices under s3_prefix in natural order",
    )
    folder_to_write_to: LocalPath | None = Field(
        None, description='the folder that "zblocks download" fills'
    )
    folder_to_convert_from: LocalPath | None = Field(
        None, description="a local folder of slices, the source when no bucket is given"
    )
    folder_to_convert_to: LocalPath | None = Field(
        None, description="a local folder for the volume, the destination when no bucket is given"
    )
    s3_bucket_name_for_upload: Bucket | None = Field(
        None, description="the name of the bucket that the volume goes to"
    )
    s3_dir_to_write_to: (
        Annotated[str, Field(max_length=1024), AfterValidator(_directory)] | None
    ) = Field(None, description='the folder of the volume in that bucket, such as "volumes/brain"')
    voxel_resolution: Annotated[tuple[Nanometres, Nanometres, Nanometres], Strict(False)] = Field(
        description="the size of a voxel along x, y and z in nm, three numbers above 0 and "
        "up to 1e9, such as [3680, 3680, 20000]"
    )
    voxel_offset: Annotated[tuple[Voxel, Voxel, Voxel], Strict(False)] = Field(
        (0, 0, 0),
        description="the place of the first voxel along x, y and z, three whole numbers of voxels "
        "within ±2147483647, such as [0, 0, 0]",
    )
    overwrite: bool = Field(
        False,
        description="true to replace a volume that is already there, or false to resume the same "
        "one and refuse a different one",
    )
    given_source: Url | None = Field(
        None,
        alias="source",
        description='"s3://bucket/prefix" or "file:///folder" of the slices, instead of '
        "s3_bucket_name_for_download; keys are then relative to it",
    )
    given_destination: Url | None = Field(
        None,
        alias="destination",
        description='"s3://bucket/prefix" or "file:///folder" for the volume, instead of '
        "s3_bucket_name_for_upload and s3_dir_to_write_to",
    )
    layer_type: Literal["image", "segmentation"] = Field(
        "image",
        description='"image", or "segmentation" for labels: coarser scales then take the commonest '
        "label and never a mean",
    )
    encoding: Literal["raw", "jpeg", "png", "compressed_segmentation", "compresso"] = Field(
        "raw",
        description='"raw" (exact), "jpeg" (smaller, loses a little; 8 bit only), "png" (exact; 8 '
        'and 16 bit), or for labels "compressed_segmentation" or "compresso"',
    )
    dtype: Literal["auto", "uint8", "uint16", "uint32", "uint64"] = Field(
        "auto",
        description='"auto" (that of the slices; uint32 at least for compressed_segmentation), or '
        "a wider type for labels",
    )
    sparse_labels: bool = Field(
        False,
        description="true to let label 0 give way to any other in coarser scales, or false to "
        "count it like the others",
    )
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] = Field(
        90, description="a whole number from 1 to 100, for encoding jpeg"
    )
    compression: Literal["gzip", "br", "none"] = Field(
        "gzip",
        description='"gzip", "br" (a little smaller, slower; never in shards) or "none", for '
        "chunks that are no JPEG or PNG",
    )
    sharding: Literal["auto"] | bool = Field(
        "auto",
        description='"auto" (shards when there would be more than 20000 chunks), true or false',
    )
    chunk_size: Literal["auto"] | Annotated[tuple[Edge, Edge, Edge], Strict(False)] = Field(
        "auto",
        description='"auto", or the voxels of a chunk along x, y and z, three whole numbers from '
        "1 to 2048, such as [64, 64, 64]; coarser scales may have shallower ones",
    )
    scales: Literal["auto"] | Annotated[int, Field(ge=1, le=32)] = Field(
        "auto", description='"auto" (down to a scale of one chunk), or how many, from 1 to 32'
    )
    canvas: Canvas | None = Field(
        None,
        description='{"size": "max" or [width, height], "align": "center" or "top-left", "fill": '
        "255} to pad or crop slices of different sizes; left out, they are refused",
    )
    missing: Literal["fill", "error"] = Field(
        "fill",
        description='"fill" to put fill_value where a slice is missing, or "error" to refuse',
    )
    fill_value: (
        Annotated[int, Field(ge=-(2**63), le=2**64 - 1)]
        | Annotated[float, Field(ge=-3e38, le=3e38), AllowInfNan(False)]
    ) = Field(0, description="the number that fills missing slices, such as 0")
    max_concurrency: Annotated[int, Field(ge=1, le=10_000)] = Field(
        200, description="how many blocks are converted at the same time, from 1 to 10000"
    )

    source_role: Annotated[str, Field(max_length=2048), AfterValidator(_role)] = Field(
        "",
        description="the ARN of an IAM role that may read the slices, in another account for "
        'instance, such as "arn:aws:iam::111122223333:role/slices"',
    )
    allow_partial: bool = Field(
        False,
        description="true to publish what could be made when some blocks fail, with those declared "
        "as holes, or false to publish nothing then",
    )

    _base: Path | None = PrivateAttr(None)

    @classmethod
    def parse(cls, data: Mapping[str, object], *, base: Path | None) -> Self:
        """Check a job.

        Args:
            data: The JSON object.
            base: The config file's folder, for relative local paths; None in the cloud.

        Raises:
            InvalidConfig: One line for each problem.
        """
        if not isinstance(data, Mapping):
            raise InvalidConfig(f"the config is {_show(data)}; give one JSON object of fields")
        known = [info.alias or name for name, info in cls.model_fields.items()]
        if keys := list(_keys(data, known)):
            raise _invalid(keys)  # before any other message could show them
        refused = _not_yet(data)
        problems = [*refused.values(), *_unknown(data, known)]
        given = {
            name: value
            for name, value in data.items()
            if name in known and name not in refused and not _is_blank(name, value)
        }
        try:
            config = cls.model_validate(given)
        except ValidationError as error:
            raise _invalid([*problems, *_field_problems(error, given)]) from None
        config._base = base.absolute() if base is not None else None
        problems += config._misfits()
        if problems:
            raise _invalid(problems)
        return config

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and check a config file; relative paths in it start at its folder."""
        data = read_object(_read_file(path), str(path))
        try:
            return cls.parse(data, base=path.parent)
        except InvalidConfig as error:
            raise InvalidConfig(f"{path}: {error}") from None

    @property
    def source(self) -> str:
        """The url that slice keys are relative to: the bucket, else `source`, else the folder."""
        if self.s3_bucket_name_for_download:
            return f"s3://{self.s3_bucket_name_for_download}"
        return self.given_source or self._folder_url(self.folder_to_convert_from)

    def role_for(self, url: str) -> str:
        """Return the role that reads an url: the slices' own bucket is read with theirs."""
        place = self.source.split("/", 3)[:3]
        return self.source_role if url.split("/", 3)[:3] == place else ""

    @property
    def destination(self) -> str:
        """The url of the volume: bucket and directory, else `destination`, else the folder."""
        if self.s3_bucket_name_for_upload:
            return f"s3://{self.s3_bucket_name_for_upload}/{self.s3_dir_to_write_to or ''}"
        return self.given_destination or self._folder_url(self.folder_to_convert_to)

    @property
    def download_folder(self) -> Path | None:
        """`folder_to_write_to`, absolute."""
        return self._local(self.folder_to_write_to)

    @property
    def upload_folder(self) -> Path | None:
        """`folder_to_convert_to`, absolute: what `zblocks upload` sends."""
        return self._local(self.folder_to_convert_to)

    @property
    def credentials_path(self) -> Path | None:
        """`s3_creds_file`, absolute."""
        return self._local(self.s3_creds_file)

    @property
    def slice_list(self) -> ListLocation | None:
        """Where the ordered list is; None: natural order of what lies under the prefix.

        A plain string is a path, relative to the config file's folder, if that file exists; else a
        key in the source's bucket. In the cloud there is no such folder, so it is a key.
        """
        given = self.sorted_filename
        if given is None or isinstance(given, tuple):
            return ListLocation(lines=given) if given else None
        if given.startswith("s3://"):
            return ListLocation(url=given)
        if given.startswith("file://"):
            return ListLocation(path=Path(unquote(given.removeprefix("file://"))))
        in_bucket = self.source.startswith("s3://") and _is_key(given)
        url = "/".join([*self.source.split("/")[:3], given]) if in_bucket else None
        return ListLocation(path=self._local(given), url=url)

    def candidates(self, name: str, index: int) -> tuple[str, ...]:
        """Name the keys, relative to the source, under which a listed slice may lie."""
        ext = SEED_EXT if self.ext is None else self.ext
        key = f"{self.s3_prefix}{name}{self.s3_parts}{ext}"
        if self.source.startswith("s3://"):
            return (key,)
        return (key, self.download_name(name, index))

    def download_name(self, name: str, index: int) -> str:
        """Return the file name that the seed, and `zblocks download`, gives a slice."""
        return f"{index:04d}_{name}_{SEED_EXT if self.ext is None else self.ext}"

    @property
    def listing_prefix(self) -> str:
        """What keys begin with when there is no list; nothing in folder_to_convert_from."""
        return "" if self._is_plain_folder else self.s3_prefix

    def is_slice(self, key: str) -> bool:
        """Whether a key that was found without a list is a slice: right place, parts and ext."""
        if not key.startswith(self.listing_prefix):
            return False
        name = key.removeprefix(self.listing_prefix).removeprefix("/")
        parts = "" if self._is_plain_folder else self.s3_parts
        if "/" in name or name.startswith("."):
            return False
        if self.ext is not None:
            return name.endswith(parts + self.ext)
        file = PurePosixPath(name)
        return file.stem.endswith(parts) and file.suffix.lower() in IMAGE_EXTENSIONS

    def for_cloud(self) -> tuple[str, ...]:
        """Check that a machine without this one's disk can do the job.

        Returns:
            Notes: fields that have no meaning there.
        """
        problems = []
        if self.s3_creds_file:
            problems.append(
                f"s3_creds_file: found {_show(self.s3_creds_file)}, but keys don't belong into an "
                "execution; remove the field: the functions' IAM roles give access to the buckets "
                "that were named at deployment"
            )
        if not self.source.startswith("s3://"):
            problems.append(_not_in_cloud("source", self.source, "s3_bucket_name_for_download"))
        if not self.destination.startswith("s3://"):
            problems.append(
                _not_in_cloud("destination", self.destination, "s3_bucket_name_for_upload")
            )
        place = self.slice_list
        if place and not place.lines and not place.url:
            problems.append(
                f"sorted_filename: {place} is a local path; give an s3:// url, a key in the "
                "download bucket, or the lines themselves"
            )
        if problems:
            raise _invalid(problems)
        folders = ("folder_to_write_to", "folder_to_convert_from", "folder_to_convert_to")
        return tuple(
            f"{name}: not needed in the cloud, nothing touches a local disk"
            for name in folders
            if getattr(self, name)
        )

    def folders(self) -> Self:
        """Take the seed's middle step alone: folder to folder, even when buckets are given."""
        config = self.model_copy(
            update={
                "given_source": self._folder_url(self.folder_to_convert_from) or None,
                "given_destination": self._folder_url(self.folder_to_convert_to) or None,
                "s3_bucket_name_for_download": None,
                "s3_bucket_name_for_upload": None,
                "s3_dir_to_write_to": None,
            }
        )
        problems = [
            f"{name}: missing; give {_description(name)}"
            for name in ("folder_to_convert_from", "folder_to_convert_to")
            if not self._folder_url(getattr(self, name))
        ] or list(config._misfits())
        if problems:
            raise _invalid(problems)
        return config

    @property
    def _is_plain_folder(self) -> bool:
        return self.source == self._folder_url(self.folder_to_convert_from)

    def _local(self, path: str | None) -> Path | None:
        """Absolute, or None: not given, or relative to nothing."""
        if not path or (self._base is None and not path.startswith("/")):
            return None
        return Path(_folder_path(str((self._base or Path("/")) / path)))

    def _folder_url(self, path: str | None) -> str:
        local = self._local(path)
        return _file_url(str(local)) if local else ""

    def _misfits(self) -> Iterator[str]:
        """Tell what is wrong between fields that are right by themselves."""
        yield from self._source_misfits()
        yield from self._destination_misfits()
        slices = f"{self.source}/{self.s3_prefix}".rstrip("/")
        if self.source and self.destination and f"{slices}/".startswith(f"{self.destination}/"):
            yield (
                f"destination: the slices ({slices}) lie in {self.destination}, where a volume "
                "would mix with them; give a folder of its own"
            )
        place = self.slice_list
        if place and not (place.lines or place.path or place.url):
            yield (
                f"sorted_filename: found {_show(self.sorted_filename)}, a local path that can't "
                "be read here; give an s3:// url, a key in the download bucket, or the lines "
                "themselves"
            )
        chunk = self.chunk_size
        yield from self._encoding_misfits()
        if self.encoding == "jpeg" and chunk != "auto" and chunk[1] * chunk[2] > 65_535:
            yield (
                f"chunk_size: found {_show(list(chunk))}, but a JPEG image has at most 65535 rows "
                "and a chunk needs y times z; give a smaller one, or encoding raw"
            )

    def _encoding_misfits(self) -> Iterator[str]:
        labels = self.layer_type == "segmentation"
        if labels and self.encoding in ("jpeg", "png"):
            yield (
                f"encoding: {_show(self.encoding)} is for images, and layer_type is "
                '"segmentation"; give "raw", "compressed_segmentation" or "compresso"'
            )
        if not labels and self.encoding in ("compressed_segmentation", "compresso"):
            yield (
                f'encoding: {_show(self.encoding)} is for labels; give "layer_type": '
                '"segmentation" with it, or encoding raw'
            )
        if self.compression == "br" and self.sharding is True:
            yield 'compression: shards can\'t hold "br"; give "gzip" or "none"'
        if not labels and (self.dtype != "auto" or self.sparse_labels):
            name = "sparse_labels" if self.sparse_labels else "dtype"
            yield f'{name}: is for labels, and layer_type is "image"; remove it'

    def _source_misfits(self) -> Iterator[str]:
        if self.given_source and self.s3_bucket_name_for_download:
            yield "source: given together with s3_bucket_name_for_download; keep one way"
        if not self.source:
            folder = ", or folder_to_convert_from" if self._base else ""
            yield (
                "s3_bucket_name_for_download: missing, so there is no source; give the name of "
                f'the bucket that holds the slices, or "source": "s3://bucket/prefix"{folder}'
            )

    def _destination_misfits(self) -> Iterator[str]:
        names = ("s3_bucket_name_for_upload", "s3_dir_to_write_to")
        both = " and ".join(name for name in names if getattr(self, name))
        if self.given_destination and both:
            yield f"destination: given together with {both}; keep one way"
        if self.s3_bucket_name_for_upload and not self.s3_dir_to_write_to:
            do = _description("s3_dir_to_write_to")
            yield f"s3_dir_to_write_to: missing; give {do}"
        elif not self.destination:
            folder = ", or folder_to_convert_to" if self._base else ""
            yield (
                "s3_bucket_name_for_upload: missing, so there is no destination; give the name of "
                "the bucket that the volume goes to and s3_dir_to_write_to, or "
                f'"destination": "s3://bucket/prefix"{folder}'
            )
        elif self.destination.count("/") < 3 or self.destination == "file:///":
            yield (
                f"destination: found {_show(self.destination)}, a whole "
                f"{'bucket' if self.destination.startswith('s3') else 'disk'}; give a folder in it"
            )


# --- reading and errors -------------------------------------------------------------------------


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
        raise InvalidConfig(
            f"{where}: line {error.lineno}, column {error.colno}: not JSON ({error.msg}); "
            "correct it"
        ) from None
    except UnicodeDecodeError as error:
        raise InvalidConfig(f"{where}: byte {error.start} is not UTF-8; save it as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise InvalidConfig(f"{where}: {error}; correct it") from None
    if not isinstance(document, dict):
        raise InvalidConfig(f"{where}: holds {_show(document)}; give one JSON object of fields")
    return document


def _read_file(path: Path) -> bytes:
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
            raise ValueError(f"{_show(name)} is there twice; keep one")
        data[name] = value
    return data


def _is_blank(name: str, value: object) -> bool:
    """Null, and the empty places and files of a config template, count as left out."""
    blank_text = value == "" and name.startswith(("s3_", "folder_", "sorted_", "source", "dest"))
    return value is None or blank_text


def _is_key(text: str) -> bool:
    """Whether a path could be a key: not from a disk's root, home or a relative folder."""
    return not text.startswith(("/", "./", "~", "\\")) and ".." not in text.split("/")


def _not_yet(data: Mapping[str, object]) -> dict[str, str]:
    """Field to problem, for what this version has no code for."""
    problems = {}
    for name, values in NOT_YET.items():
        value = data.get(name)
        if value is None:
            continue
        if not values:
            problems[name] = f"{name}: not supported in this version; remove the field"
        elif any(value is one or (isinstance(one, str) and value == one) for one in values):
            give = _description(name)
            problems[name] = (
                f"{name}: found {_show(value)}, which is not supported in this version; give {give}"
            )
    return problems


def _keys(data: Mapping[str, object], known: list[str]) -> Iterator[str]:
    """Name the fields that hold what looks like a key; their values are never shown."""
    for name, value in data.items():
        kind = find_key(str(name)) or find_key(value)
        if kind or names_a_key(str(name)):
            yield (
                f"{name if name in known else _show(name)}: holds what looks like "
                f"{kind or 'a key, by its name'} (not shown), but a config is kept beside its "
                "volume; remove it, and replace the key if others can read this config: in the "
                "cloud IAM roles give access, on one machine s3_creds_file names a file of keys"
            )


def _unknown(data: Mapping[str, object], known: list[str]) -> Iterator[str]:
    unknown = [name for name in data if name not in known and name not in NOT_YET]
    for name in unknown[:SHOWN]:
        near = difflib.get_close_matches(str(name)[:100].lower(), known, n=1)
        do = f'did you mean "{near[0]}"?' if near else "remove it, or see the table of fields"
        yield f"{_show(name)}: no such field; {do}"
    if len(unknown) > SHOWN:
        yield f"and {len(unknown) - SHOWN} more fields that don't exist; check the path"


def _field_problems(error: ValidationError, given: Mapping[str, object]) -> Iterator[str]:
    """One line for each field; pydantic reports each branch of a union and each element."""
    reasons: dict[str, str] = {}
    for one in error.errors(include_url=False):
        name = str(one["loc"][0])
        cause = one.get("ctx", {}).get("error")
        reasons[name] = reasons.get(name) or (f", which {cause}" if cause else "")
    for name, reason in reasons.items():
        found = f"found {_show(given[name])}{reason}" if name in given else "missing"
        yield f"{name}: {found}; give {_description(name)}"


def _description(name: str) -> str:
    fields = {info.alias or key: info for key, info in Config.model_fields.items()}
    return str(fields[name].description)


def _not_in_cloud(name: str, url: str, bucket_field: str) -> str:
    return (
        f"{name}: {url} is a folder of one machine; give {bucket_field}, "
        f'or "{name}": "s3://bucket/prefix"'
    )


def _invalid(problems: Iterable[str]) -> InvalidConfig:
    lines = list(problems)
    if len(lines) == 1:
        return InvalidConfig(lines[0])
    return InvalidConfig(f"{len(lines)} problems:\n  " + "\n  ".join(lines))


def _show(value: object) -> str:
    """As JSON, on one line, at most 80 characters; what looks like a key is not shown."""
    if kind := find_key(value):
        return f"what looks like {kind} (not shown)"
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = f"a {type(value).__name__} that is no JSON value"
    text = _CONTROL.sub("?", text)
    return text if len(text) <= 80 else text[:79] + "…"
