"""Stacks to convert, places to convert between, and the command that users type."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from pkgutil import walk_packages
from typing import Any
from urllib.request import Request, urlopen

import boto3
import numpy as np
import pytest
import simplejpeg
import tifffile
from moto import backends
from moto.awslambda import urls as lambda_urls
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer
from PIL import Image

import zblocks as product
from tests.launcher import Launcher

AWS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SESSION_TOKEN": "testing",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def textured(shape: tuple[int, int, int, int], dtype: str, seed: int = 0) -> np.ndarray:
    """Return voxels (z, y, x, c) with smooth structure and noise, the whole range of the type."""
    rng = np.random.default_rng(seed)
    z, y, x, c = np.indices(shape, dtype=np.float32, sparse=True)
    top = np.iinfo(dtype).max
    waves = np.sin(x / 17 + c) + np.cos(y / 23 + z / 5) + rng.normal(0, 0.3, shape)
    waves -= waves.min()
    waves *= top / waves.max()
    return np.rint(waves, out=waves).astype(dtype)


def write_slice(path: Path, plane: np.ndarray) -> None:
    """Write one slice (y, x, c) in the format that the path's ending names."""
    flat = plane[..., 0] if plane.shape[2] == 1 else plane
    if path.suffix in (".tif", ".tiff"):
        photometric = "rgb" if plane.shape[2] == 3 else "minisblack"
        tifffile.imwrite(path, flat, photometric=photometric, rowsperstrip=16)
    elif path.suffix == ".png" and plane.dtype == np.uint16:
        import pyvips

        pyvips.Image.new_from_array(flat).copy(
            interpretation="rgb16" if plane.shape[2] == 3 else "grey16"
        ).write_to_file(str(path))
    else:
        how = {"quality": 95} if path.suffix == ".jpg" else {"compress_level": 1}
        Image.fromarray(flat).save(path, **how)


def decoded(path: Path, plane: np.ndarray) -> np.ndarray:
    """Return what a slice (y, x, c) holds once written: itself, or what the JPEG makes of it."""
    if path.suffix != ".jpg":
        return plane
    space = "GRAY" if plane.shape[2] == 1 else "RGB"
    return simplejpeg.decode_jpeg(path.read_bytes(), colorspace=space)


def write_stack(folder: Path, voxels: np.ndarray, ext: str = ".png") -> np.ndarray:
    """Write voxels (z, y, x, c) as slices s_000… ; return what they hold."""
    folder.mkdir(parents=True, exist_ok=True)
    held = []
    for z, plane in enumerate(voxels):
        path = folder / f"s_{z:03d}{ext}"
        write_slice(path, plane)
        held.append(decoded(path, plane))
    return np.stack(held)


@dataclass(frozen=True)
class Command:
    """What a run of `zblocks` did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def zblocks(
    *arguments: str | Path, env: dict[str, str | None] | None = None, forked: bool = True
) -> Command:
    """Run the command as a user does; a variable of `env` that is None is taken away.

    Unless `forked`, its workers are started anew, and the memory of each is its own.
    """
    environment = {**os.environ, **(env or {})}
    given = {name: value for name, value in environment.items() if value is not None}
    done = _launcher().run([str(a) for a in arguments], given, seconds=300, forked=forked)
    return Command(done.code, done.out, done.err)


@cache
def _launcher() -> Launcher:
    """Start what runs the commands, with everything imported."""
    found = walk_packages(product.__path__, "zblocks.")
    return Launcher(*(each.name for each in found if each.name != "zblocks.__main__"))


WriteConfig = Callable[..., Path]


@pytest.fixture
def write_config(tmp_path: Path) -> WriteConfig:
    """Write config.json from fields; source and destination are folders of tmp_path by default."""

    def write(**fields: Any) -> Path:
        document = {
            "source": f"file://{tmp_path}/in",
            "destination": f"file://{tmp_path}/out",
            "voxel_resolution": [4, 4, 40],
            **fields,
        }
        path = tmp_path / "config.json"
        path.write_text(json.dumps({k: v for k, v in document.items() if v is not None}))
        return path

    return write


@dataclass(frozen=True)
class Cloud:
    """An S3 that isn't Amazon's."""

    endpoint: str
    env: dict[str, str]
    s3: Any

    def upload(self, folder: Path, bucket: str, prefix: str) -> None:
        """Put a folder's files below a prefix."""
        for path in folder.iterdir():
            self.put(bucket, prefix + path.name, path.read_bytes())

    def put(self, bucket: str, key: str, data: bytes, packing: str = "") -> None:
        """Put an object past the network, with a Content-Encoding: the S3 is in this process."""
        made = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].put_object(bucket, key, data)
        made.set_metadata({"Content-Encoding": packing} if packing else {})

    def keys(self, bucket: str) -> set[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return {o["Key"] for page in pages for o in page.get("Contents", [])}

    def json(self, bucket: str, key: str) -> Any:
        return json.loads(self.s3.get_object(Bucket=bucket, Key=key)["Body"].read())


QUOTA: dict[str, int] = {}
"""What the account says of its functions at once; nothing, as to somebody who may not ask."""


def _account_settings(*_: Any) -> tuple[int, dict[str, str], str]:
    return (200, {}, json.dumps({"AccountLimit": QUOTA})) if QUOTA else (403, {}, "{}")


# moto lists its folders for each request: a fifth of what an S3 request costs.
MODULES = frozenset(backends.list_of_moto_modules())
backends.list_of_moto_modules = lambda: MODULES

# moto has no GetAccountSettings.
lambda_urls.url_paths["{0}/2016-08-19/account-settings/?$"] = _account_settings


@pytest.fixture(scope="session")
def moto() -> Iterator[tuple[str, Any]]:
    """Serve S3 on the loopback: its address and a client."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    endpoint = f"http://localhost:{port}"
    session = boto3.Session("testing", "testing", "testing", "us-east-1")
    yield endpoint, session.client("s3", endpoint_url=endpoint)
    server.stop()


@pytest.fixture
def cloud(moto: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """An empty S3 with the buckets `slices` and `volumes`, in this process's environment, too."""
    endpoint, s3 = moto
    env = {**AWS, "AWS_ENDPOINT_URL": endpoint}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    for bucket in ("slices", "volumes"):
        s3.create_bucket(Bucket=bucket)
    yield Cloud(endpoint, env, s3)
    urlopen(Request(f"{endpoint}/moto-api/reset", method="POST")).close()
