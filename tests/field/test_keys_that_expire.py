"""Keys that expire in the middle of a run: a warm worker must ask for others, or fail."""

from __future__ import annotations

import json
import re
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler

import numpy as np
import pytest

from handlers import finalize, plan, worker
from tests.field.guarded import Guard, Refusal, guarded
from tests.flow.conftest import textured, write_stack
from tests.flow.test_handlers import CONTEXT, EXECUTION, NOTHING_COUNTED
from tests.map_items import items_of
from zblocks.errors import StorageError
from zblocks.storage import Store, open_store
from zblocks.storage.open import _keys_of_clients

ROLE = "arn:aws:iam::444455556666:role/slices"
EXPIRED = Refusal(400, "ExpiredToken", "The provided token has expired.")
PAUSE = 0.2  # seconds; obstore asks for keys again 0.1 s after it last did, or later
LEFT = timedelta(minutes=16)  # that a program's keys are good for; boto3 renews those of 15


@dataclass(frozen=True)
class Lent(Refusal):
    """The answer of STS: keys that expire in a minute."""

    key: str = ""

    @property
    def body(self) -> bytes:
        until = (datetime.now(UTC) + timedelta(minutes=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return (
            '<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            f"<AssumeRoleResult><Credentials><AccessKeyId>{self.key}</AccessKeyId>"
            f"<SecretAccessKey>s</SecretAccessKey><SessionToken>t{self.key}</SessionToken>"
            f"<Expiration>{until}</Expiration></Credentials></AssumeRoleResult>"
            "</AssumeRoleResponse>"
        ).encode()


class Keys(Guard):
    """Lends keys, and refuses those that have expired."""

    def __init__(self) -> None:
        super().__init__()
        self.used: Counter[str] = Counter()
        self.expired: set[str] = set()
        self.lent: list[str] = []

    def refusal(self, request: BaseHTTPRequestHandler) -> Refusal | None:
        if b"Action=AssumeRole" in request.body:
            self.lent.append(f"LENT{len(self.lent)}")
            return Lent(200, "", "", key=self.lent[-1])
        signed = re.search(r"Credential=([^/]+)/", request.headers.get("Authorization", ""))
        key = signed[1] if signed else ""
        with self._lock:
            self.used[key] += 1
        return EXPIRED if key in self.expired else super().refusal(request)


@pytest.fixture
def keys(cloud, monkeypatch):
    with guarded(cloud.endpoint, Keys()) as front:
        monkeypatch.setenv("AWS_ENDPOINT_URL", front.url)
        yield front


@pytest.fixture
def expiring(keys, monkeypatch):
    """Slices are read one by one; before some, all lent keys expire. Returns how often."""
    read, alone, times = Store.get_range, threading.Lock(), []

    def get_range(store, key, *more):
        with alone:  # so that no request is under way that was signed before
            if key.endswith(("s_010.png", "s_040.png", "s_066.png")):
                keys.expired |= set(keys.lent)
                times.append(key)
                time.sleep(PAUSE)
            return read(store, key, *more)

    monkeypatch.setattr(Store, "get_range", get_range)
    return times


def take_keys(monkeypatch, name):
    for kind in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        monkeypatch.setenv(f"AWS_{kind}", name)


@NOTHING_COUNTED
def test_a_warm_worker_goes_on_with_new_keys(tmp_path, cloud, keys, expiring, monkeypatch):
    """Those of a role, which expire within a block, and the function's own, between two."""
    monkeypatch.setenv("ZBLOCKS_DESTINATION_BUCKET", "volumes")
    monkeypatch.setenv("ZBLOCKS_WORKER_MEMORY_MB", "3008")
    voxels = write_stack(tmp_path / "in", textured((70, 40, 50, 1), "uint8"))
    for path in (tmp_path / "in").iterdir():
        cloud.s3.put_object(Bucket="slices", Key=f"s/{path.name}", Body=path.read_bytes())
    config = {
        "source": "s3://slices/s",
        "source_role": ROLE,
        "destination": f"s3://volumes/{tmp_path.name}",
        "voxel_resolution": [4, 4, 40],
        "compression": "none",
        "scales": 1,
    }
    take_keys(monkeypatch, "OWN0")
    state = plan.handler({"input": config, "execution": EXECUTION}, CONTEXT)
    given = {k: state[k] for k in ("destination", "execution", "volume_id")}
    items = items_of(state)
    assert len(items) == 2
    for i, item in enumerate(items, 1):
        keys.expired.add(f"OWN{i - 1}")
        take_keys(monkeypatch, f"OWN{i}")
        assert worker.handler(given | {"item": item}, CONTEXT)["receipt"]
        assert keys.used[f"OWN{i}"]
    assert finalize.handler(given, CONTEXT)["status"] == "COMPLETE"
    assert len(expiring) >= 6  # for headers, and for pixels
    assert len(keys.lent) > len(expiring)
    chunks = [k for k in cloud.keys("volumes") if "/4_4_40/" in k]
    assert len(chunks) >= 2
    for key in chunks:
        x0, x1, y0, y1, z0, z1 = map(int, re.split("[-_]", key.rpartition("/")[2]))
        data = cloud.s3.get_object(Bucket="volumes", Key=key)["Body"].read()
        part = voxels[z0:z1, y0:y1, x0:x1]
        np.testing.assert_array_equal(np.frombuffer(data, np.uint8).reshape(part.shape), part)


def test_keys_that_nobody_renews_are_refused(cloud, keys, monkeypatch):
    take_keys(monkeypatch, "OWN0")
    open_store("s3://volumes/v").put("a", b"", "text/plain")
    keys.expired.add("OWN0")
    with pytest.raises(StorageError, match="ExpiredToken"):
        open_store("s3://volumes/v").put("a", b"", "text/plain")


def test_keys_of_a_program_are_asked_for_again_before_they_expire(tmp_path, monkeypatch):
    """A profile whose program lends keys, as SSO does: never used for longer than they last."""
    until = datetime.now(UTC) + LEFT
    lent = {"Version": 1, "AccessKeyId": "A", "SecretAccessKey": "S", "SessionToken": "T",
            "Expiration": until.isoformat()}  # fmt: skip
    (tmp_path / "keys.json").write_text(json.dumps(lent))
    program = f"{sys.executable} -c \"print(open('{tmp_path}/keys.json').read())\""
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {program}\n")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    _keys_of_clients.cache_clear()
    given = _keys_of_clients(0)["credential_provider"]()
    _keys_of_clients.cache_clear()
    assert given["access_key_id"] == "A"
    assert given["expires_at"] <= until
