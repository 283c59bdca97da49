"""A checked config, and what follows from it: source, destination, lists, keys of slices.

A slice's key, relative to `Config.source`, is s3_prefix + name + s3_parts + ext.
URLs of folders are percent-encoded, those of buckets are not.
"""

import json
import os.path
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self
from unicodedata import normalize
from urllib.parse import unquote

from pydantic import PrivateAttr, ValidationError

from zblocks.config.conflicts import cloud_conflicts, conflicts
from zblocks.config.fields import COMMENT, Fields
from zblocks.config.messages import (
    describe,
    field_problems,
    held_keys,
    invalid,
    read_file,
    read_object,
    show,
    unknown_fields,
)
from zblocks.config.values import IMAGE_EXTENSIONS, file_url, folder_path, is_image
from zblocks.errors import InvalidConfig

DEFAULT_EXT = ".tif"


@dataclass(frozen=True, slots=True)
class ListLocation:
    """The ordered list: its lines, or one of JSON; or the first that exists of path and url."""

    lines: tuple[str, ...] = ()
    path: Path | None = None  # absolute; None in the cloud
    url: str | None = None

    def __str__(self) -> str:
        places = [str(self.path)] if self.path else []
        return " or ".join(places + ([self.url] if self.url else [])) or "sorted_filename"


class Config(Fields):
    """A checked config; made by `parse` or `load`."""

    _base: Path | None = PrivateAttr(None)

    @classmethod
    def parse(cls, data: Mapping[str, object], *, base: Path | None) -> Self:
        """Check a config; `base` is its file's folder, for relative paths; None in the cloud.

        Raises InvalidConfig: one line per problem.
        """
        if not isinstance(data, Mapping):
            raise InvalidConfig(f"the config is {show(data)}; give one JSON object of fields")
        known = [info.alias or name for name, info in cls.model_fields.items()]
        if keys := list(held_keys(data, known)):
            raise invalid(keys)  # before any other message could show them
        data = {name: value for name, value in data.items() if not str(name).startswith(COMMENT)}
        problems = [*unknown_fields(data, known)]
        given = {
            name: value
            for name, value in data.items()
            if name in known and not _is_blank(name, value)
        }
        try:
            config = cls.model_validate(given)
        except ValidationError as error:
            raise invalid([*problems, *field_problems(error, given)]) from None
        config._base = base.absolute() if base is not None else None
        problems += conflicts(config)
        if problems:
            raise invalid(problems)
        return config

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and check a config file; its relative paths start at its folder.

        Raises InvalidConfig: one line per problem.
        """
        data = read_object(read_file(path), str(path))
        try:
            return cls.parse(data, base=path.parent)
        except InvalidConfig as error:
            raise InvalidConfig(f"{path}: {error}") from None

    @property
    def base(self) -> Path | None:
        """Folder of the config file; None in the cloud."""
        return self._base

    @property
    def source(self) -> str:
        """The URL that slice keys are relative to: the bucket, else `source`, else the folder."""
        if self.s3_bucket_name_for_download:
            return f"s3://{self.s3_bucket_name_for_download}"
        return self.given_source or self._folder_url(self.folder_to_convert_from)

    def role_for(self, url: str) -> str:
        """Return the role for reading a URL: `source_role` in the slices' bucket, else none."""
        place = self.source.split("/", 3)[:3]
        return self.source_role if url.split("/", 3)[:3] == place else ""

    @property
    def destination(self) -> str:
        """The URL of the volume: bucket and directory, else `destination`, else the folder."""
        if self.s3_bucket_name_for_upload:
            return f"s3://{self.s3_bucket_name_for_upload}/{self.s3_dir_to_write_to or ''}"
        return self.given_destination or self._folder_url(self.folder_to_convert_to)

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats of the volume."""
        given = self.given_format
        return (given,) if isinstance(given, str) else given

    @property
    def channel_selection(self) -> str:
        """`channels` as one text, as `ChannelSelection.channels`."""
        given = self.channels
        return given if isinstance(given, str) else ",".join(map(str, given))

    @property
    def skips_damaged(self) -> bool:
        """Whether damaged slices are missing; with `allow_partial`, unless the config says no."""
        if "damaged" in self.model_fields_set:
            return self.damaged == "missing"
        return self.allow_partial and self.missing != "error"

    @property
    def download_folder(self) -> Path | None:
        """`folder_to_write_to`, absolute."""
        return self._local(self.folder_to_write_to)

    @property
    def upload_folder(self) -> str:
        """The URL of the folder that `zblocks upload` sends; empty for none."""
        folder = self._folder_url(self.folder_to_convert_to)
        return folder or (self.destination if self.destination.startswith("file:") else "")

    @property
    def credentials_path(self) -> Path | None:
        """`s3_creds_file`, absolute."""
        return self._local(self.s3_creds_file)

    @property
    def slice_list(self) -> ListLocation | None:
        """The ordered list; None: the slices under the prefix, in natural order.

        A plain text is a path, relative to the config file's folder, if that file exists; else a
        key in the source's bucket (always in the cloud, which has no such folder).
        """
        given = self.sorted_filename
        if isinstance(given, tuple):
            lines = tuple(item for item in given if isinstance(item, str))
            return ListLocation(lines if len(lines) == len(given) else (json.dumps(given),))
        return self.place_of("sorted_filename")

    def place_of(self, field: str) -> ListLocation | None:
        """Return where the list or table of a field is, if the field is a path, key or URL."""
        given = getattr(self, field)
        if not isinstance(given, str):
            return None
        if given.startswith("s3://"):
            return ListLocation(url=given)
        if given.startswith("file://"):
            return ListLocation(path=Path(unquote(given.removeprefix("file://"))))
        in_bucket = self.source.startswith("s3://") and _is_key(given)
        url = "/".join([*self.source.split("/")[:3], given]) if in_bucket else None
        return ListLocation(path=self._local(given), url=url)

    def candidates(self, name: str, index: int) -> tuple[str, ...]:
        """Return the keys, relative to the source, that a listed slice may have."""
        ext = DEFAULT_EXT if self.ext is None else self.ext
        key = f"{self.s3_prefix}{name}{self.s3_parts}{ext}"
        keys = [key]
        whole = PurePosixPath(name).suffix.lower() in IMAGE_EXTENSIONS
        if self.ext is None and not self.s3_parts and whole:
            keys.append(
                self.s3_prefix + name
            )  # lists other than the 2019 script's have whole names
        if not self.source.startswith("s3://"):
            keys.append(self.download_name(name, index))
        return tuple(keys)

    def download_name(self, name: str, index: int) -> str:
        """Return the file name of a slice after `zblocks download`, as in the 2019 script."""
        return f"{index:04d}_{name}_{DEFAULT_EXT if self.ext is None else self.ext}"

    @property
    def listing_prefix(self) -> str:
        """What keys begin with if there is no list; empty in folder_to_convert_from."""
        return "" if self._is_plain_folder else self.s3_prefix

    def is_slice(self, key: str) -> bool:
        """Whether a key found without a list is a slice: by its folder, s3_parts and ext."""
        parts = "" if self._is_plain_folder else self.s3_parts
        key, prefix, parts = (normalize("NFC", t) for t in (key, self.listing_prefix, parts))
        if not key.startswith(prefix):
            return False
        name = key.removeprefix(prefix).removeprefix("/")
        if "/" in name or name.startswith("."):
            return False
        if self.ext is not None:
            return name.endswith(parts + self.ext)
        return PurePosixPath(name).stem.endswith(parts) and is_image(name)

    def for_cloud(self) -> tuple[str, ...]:
        """Return notes on fields that are not used in the cloud.

        Raises InvalidConfig: the config names local files or keys.
        """
        problems = list(cloud_conflicts(self))
        if problems:
            raise invalid(problems)
        folders = ("folder_to_write_to", "folder_to_convert_from", "folder_to_convert_to")
        return tuple(f"{name}: not used in the cloud" for name in folders if getattr(self, name))

    def folders(self) -> Self:
        """Return a config that converts from folder to folder, even if it names buckets.

        Raises InvalidConfig: it doesn't name both folders.
        """
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
            f"{name}: missing; give {describe(name)}"
            for name in ("folder_to_convert_from", "folder_to_convert_to")
            if not self._folder_url(getattr(self, name))
        ] or list(conflicts(config))
        if problems:
            raise invalid(problems)
        return config

    @property
    def _is_plain_folder(self) -> bool:
        return self.source == self._folder_url(self.folder_to_convert_from)

    def _local(self, path: str | None) -> Path | None:
        if not path or (self._base is None and not path.startswith("/")):
            return None
        full = os.path.expanduser(path)  # noqa: PTH111 (it leaves unknown users as they are)
        return Path(folder_path(str((self._base or Path("/")) / full)))

    def _folder_url(self, path: str | None) -> str:
        local = self._local(path)
        return file_url(str(local)) if local else ""


def _is_blank(name: str, value: object) -> bool:
    """Null, and empty places and files, as in config templates, count as left out."""
    blank_text = value == "" and name.startswith(("s3_", "folder_", "sorted_", "source", "dest"))
    return value is None or blank_text


def _is_key(text: str) -> bool:
    return not text.startswith(("/", "./", "~", "\\")) and ".." not in text.split("/")
