"""`zblocks view`: what is served, to whom, what the link says, and what a browser makes of it."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
import pytest
import tensorstore

from demo.browser import find_chromium, open_page, state_of, viewing, with_client
from demo.emulator import command
from demo.signals import default_signals
from tests.flow.conftest import textured, write_stack, zblocks
from tests.references import read_cloudvolume, read_info, read_tensorstore
from zblocks.errors import InvalidConfig
from zblocks.neuroglancer import CORS_RULE, HOSTED, viewer_link
from zblocks.storage import open_store
from zblocks.view import access_rules
from zblocks.view import server as view_server
from zblocks.view.contrast import read_viewed_volume
from zblocks.view.public_access import access_problems, check_public_access
from zblocks.view.responses import parse_range
from zblocks.view.server import client_folder, serve

SHAPE = (24, 50, 60)
"""z, y, x."""


def convert(folder: Path, voxels: np.ndarray, ext: str, **fields) -> Path:
    """Make a volume with the user's command; return its folder."""
    write_stack(folder / "in", voxels, ext)
    document = {
        "source": f"file://{folder}/in",
        "destination": f"file://{folder}/a brain",
        "voxel_resolution": [4, 4, 40],
        "chunk_size": [32, 32, 16],
        "ext": ext,
        **fields,
    }
    (folder / "config.json").write_text(json.dumps(document))
    done = zblocks("convert", folder / "config.json")
    assert done.code == 0, done.err
    return folder / "a brain"


VOLUMES = {
    "grey": ("uint8", 1, ".png", {}),
    "shards": ("uint8", 1, ".png", {"sharding": True, "voxel_offset": [5, -3, 7]}),
    "colour": ("uint8", 3, ".png", {}),
    "deep": ("uint16", 1, ".tif", {}),
    "labels": ("uint16", 1, ".tif", {"layer_type": "segmentation"}),
}


@pytest.fixture(scope="module")
def volume(tmp_path_factory):
    """A function: name → folder of the volume, made when it is first asked for."""
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            dtype, channels, ext, fields = VOLUMES[name]
            voxels = textured((*SHAPE, channels), dtype)
            made[name] = convert(tmp_path_factory.mktemp(name), voxels, ext, **fields)
        return made[name]

    return make


class Browser:
    """Asks a server, and says exactly what it asks."""

    def __init__(self, server):
        self.server = server
        self.base = f"/{server.token}/{server.source.rsplit('/', 1)[1]}"

    def ask(self, path: str, method: str = "GET", *, whole: bool = False, **headers: str):
        """Return status, headers and body for a path of the volume, or for a whole one."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        target = path if whole else f"{self.base}/{path}"
        port = self.server.port
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as line:
            line.putrequest(method, target, skip_host="Host" in names)
            for name, value in names.items():
                line.putheader(name, value)
            line.endheaders()
            with line.getresponse() as reply:
                return reply.status, reply.headers, reply.read()


@pytest.fixture
def said():
    """What the server tells the user."""
    return []


@pytest.fixture
def browser(volume, said):
    with serve(open_store(volume("grey").as_uri()), say=said.append) as server:
        yield Browser(server)


@pytest.fixture
def shard(volume, said):
    """A browser of the sharded volume, and a shard's name and bytes."""
    path = min(volume("shards").glob("*/*.shard"))
    with serve(open_store(volume("shards").as_uri()), say=said.append) as server:
        yield Browser(server), f"{path.parent.name}/{path.name}", path.read_bytes()


# The server


def test_side_files_are_served_by_the_names_that_viewers_ask_for(browser, volume):
    packed = min(volume("grey").glob("4_4_40/*.gz"))
    status, headers, body = browser.ask(f"4_4_40/{packed.stem}")
    assert (status, headers["Content-Encoding"]) == (200, "gzip")
    assert body == packed.read_bytes()
    assert gzip.decompress(body)
    status, headers, body = browser.ask("info")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert "Content-Encoding" not in headers
    assert body == (volume("grey") / "info").read_bytes()


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [("bytes=0-15", 0, 15), ("bytes=5-5", 5, 5), ("bytes=-7", -7, None), ("bytes=9-", 9, None),
     ("bytes=3-99999999", 3, None)],
)  # fmt: skip
def test_a_range_is_answered_with_its_bytes(shard, asked, first, last):
    browser, name, whole = shard
    status, headers, body = browser.ask(name, Range=asked)
    due = whole[first : None if last is None else last + 1]
    start = first % len(whole)
    assert (status, body) == (206, due)
    assert headers["Content-Range"] == f"bytes {start}-{start + len(due) - 1}/{len(whole)}"
    assert headers["Content-Length"] == str(len(due))


def test_ranges_that_are_not_there_or_none(shard):
    browser, name, whole = shard
    for asked in (f"bytes={len(whole)}-", f"bytes={len(whole) + 5}-{len(whole) + 9}", "bytes=-0"):
        status, headers, body = browser.ask(name, Range=asked)
        assert (status, headers["Content-Range"], body) == (416, f"bytes */{len(whole)}", b"")
    for asked in ("bytes=5-3", "bytes=0-1,4-5", "chunks=0-1", "bytes=a-b", "bytes=-"):
        status, headers, body = browser.ask(name, Range=asked)
        assert (status, body, "Content-Range" in headers) == (200, whole, False)
    etag = browser.ask(name)[1]["ETag"]
    assert browser.ask(name, Range="bytes=0-3", If_Range=etag)[0] == 206
    assert browser.ask(name, Range="bytes=0-3", If_Range='"another"')[::2] == (200, whole)


def test_head_has_the_headers_of_get(shard, browser, volume):
    other, name, whole = shard
    status, headers, body = other.ask(name, "HEAD")
    assert (status, headers["Content-Length"], body) == (200, str(len(whole)), b"")
    packed = min(volume("grey").glob("4_4_40/*.gz"))
    status, headers, body = browser.ask(f"4_4_40/{packed.stem}", "HEAD")
    assert (status, headers["Content-Encoding"], body) == (200, "gzip", b"")
    assert headers["Content-Length"] == str(packed.stat().st_size)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_written(browser, volume, method):
    before = (volume("grey") / "info").read_bytes()
    assert browser.ask("info", method, Content_Length="0")[0] == 405
    assert (volume("grey") / "info").read_bytes() == before


@pytest.mark.parametrize(
    "path",
    ["../in/s_000.png", "%2e%2e/in/s_000.png", "..%2fin/s_000.png", "..%5cin/s_000.png",
     "4_4_40/../info", "./info", "/info", "//etc/passwd", "4_4_40", "", "nothing", "info%00",
     ".zblocks/config.json", "%2ezblocks/config.json", "info/", "info/x%ff"],
)  # fmt: skip
def test_nothing_outside_the_volume_is_served(browser, path):
    status, _, body = browser.ask(path)
    assert status in (404, 503)
    assert body == b""


def test_a_link_out_of_the_folder_is_not_followed(volume, tmp_path, said):
    copy = tmp_path / "copy"
    shutil.copytree(volume("grey"), copy)
    (tmp_path / "secret").write_text("secret")
    (copy / "leak").symlink_to(tmp_path / "secret")
    (copy / "packed.gz").symlink_to(tmp_path / "secret")
    (copy / "inside").symlink_to(copy / "info")
    with serve(open_store(copy.as_uri()), say=said.append) as server:
        assert Browser(server).ask("leak")[::2] == (403, b"")
        assert Browser(server).ask("packed")[::2] == (403, b"")
        assert Browser(server).ask("inside")[2] == (copy / "info").read_bytes()
    assert "a link leads out of the folder" in said[0]


def test_only_the_token_opens(browser):
    name = browser.base.rsplit("/", 1)[1]
    token = browser.server.token
    wrong = [f"/{name}/info", f"/x{token}/{name}/info", f"/{token[:-1]}/{name}/info"]
    wrong += [f"/{token}x/{name}/info", "/", "", f"/{token}", "/favicon.ico"]
    wrong += [f"http://127.0.0.1/{token}/{name}/info", f"/{token}/v/client/index.html"]
    for path in wrong:
        assert browser.ask(path, whole=True)[0] in (400, 404), path
    assert browser.ask(f"/{token}/{name}/info?x=1", whole=True)[0] == 200
    assert len(token) >= 32


def test_each_server_has_a_token_of_its_own(volume):
    store = open_store(volume("grey").as_uri())
    with serve(store) as one, serve(store) as other:
        assert one.token != other.token


def test_another_host_name_is_refused(browser):
    """A page elsewhere may have its own name resolve to the loopback."""
    port = browser.server.port
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port}0"):
        assert browser.ask("info", Host=host)[0] == 404, host
    assert browser.ask("info", Host=f"localhost:{port}")[0] == 200


def test_it_listens_on_the_loopback_only(browser):
    """On Linux all of 127/8 is this machine."""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", browser.server.port), timeout=5)


def test_a_page_of_the_viewer_may_read_and_no_other(browser):
    port = browser.server.port
    for origin in (HOSTED, f"http://127.0.0.1:{port}", f"http://localhost:{port}"):
        for path in ("info", "nothing"):
            headers = browser.ask(path, Origin=origin)[1]
            assert headers["Access-Control-Allow-Origin"] == origin
            exposed = set(headers["Access-Control-Expose-Headers"].split(", "))
            assert {"Content-Range", "Content-Length", "Content-Encoding", "ETag"} <= exposed
    for origin in ("https://evil.example", "null", f"{HOSTED}.evil.example", "http://127.0.0.1:1"):
        assert "Access-Control-Allow-Origin" not in browser.ask("info", Origin=origin)[1]


def test_a_preflight_of_the_hosted_page_is_answered(browser):
    asked = {"Access_Control_Request_Method": "GET", "Access_Control_Request_Headers": "range",
             "Access_Control_Request_Private_Network": "true"}  # fmt: skip
    status, headers, _ = browser.ask("info", "OPTIONS", Origin=HOSTED, **asked)
    assert status == 200
    assert headers["Access-Control-Allow-Origin"] == HOSTED
    assert "range" in headers["Access-Control-Allow-Headers"].lower()
    assert headers["Access-Control-Allow-Private-Network"] == "true"
    status, headers, _ = browser.ask("info", "OPTIONS", Origin="https://evil.example", **asked)
    assert status == 400
    assert "Access-Control-Allow-Origin" not in headers
    assert browser.ask("/x/info", "OPTIONS", whole=True, Origin=HOSTED)[0] == 404


def test_many_requests_at_once(shard):
    browser, name, whole = shard
    wrong = []

    def ask(start: int) -> None:
        body = browser.ask(name, Range=f"bytes={start}-{start + 99}")[2]
        if body != whole[start : start + 100]:
            wrong.append(start)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_taken_port_is_named(browser, volume):
    port = browser.server.port
    done = zblocks("view", volume("grey"), "--no-browser", "--port", str(port))
    assert done.code == 2
    assert f"port {port}" in done.err


# Buckets


@pytest.fixture
def bucket(cloud, volume):
    """A private bucket with the sharded volume, and one with packed chunks."""
    shards, grey = volume("shards"), volume("grey")
    for path in (p for p in shards.rglob("*") if p.is_file()):
        cloud.put("volumes", f"shards/{path.relative_to(shards)}", path.read_bytes())
    for path in (p for p in grey.rglob("*") if p.is_file()):
        packed = {"ContentEncoding": "gzip", "ContentType": "image/x-chunk"}
        more = packed if path.suffix == ".gz" else {}
        key = f"grey/{path.relative_to(grey)}".removesuffix(".gz")
        cloud.s3.put_object(Bucket="volumes", Key=key, Body=path.read_bytes(), **more)
    return cloud


def test_a_private_bucket_is_served_with_its_stored_headers(bucket, volume, said):
    with serve(open_store("s3://volumes/grey"), say=said.append) as server:
        browser = Browser(server)
        packed = min(volume("grey").glob("4_4_40/*.gz"))
        status, headers, body = browser.ask(f"4_4_40/{packed.stem}")
        assert (status, body) == (200, packed.read_bytes())
        assert (headers["Content-Encoding"], headers["Content-Type"]) == ("gzip", "image/x-chunk")
        assert headers["ETag"]
        assert browser.ask("4_4_40/0-1_0-1_0-1")[0] == 404
        assert browser.ask("../shards/info")[0] == 404
        assert browser.ask(".zblocks/config.json")[0] == 404
    with serve(open_store("s3://volumes/shards"), say=said.append) as server:
        browser = Browser(server)
        path = min(volume("shards").glob("*/*.shard"))
        name, size = f"{path.parent.name}/{path.name}", path.stat().st_size
        status, headers, body = browser.ask(name, Range="bytes=3-20")
        assert (status, body) == (206, path.read_bytes()[3:21])
        assert headers["Content-Range"] == f"bytes 3-20/{size}"
        status, headers, _ = browser.ask(name, Range=f"bytes={size}-")
        assert (status, headers["Content-Range"]) == (416, f"bytes */{size}")
        assert browser.ask(name, "HEAD")[1]["Content-Length"] == str(size)
    assert said == []


def test_denied_is_said_and_a_failing_store_is_tried_again(cloud, monkeypatch, said):
    class Stub(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(403 if "denied" in self.path else 400)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with stub_server(Stub) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        with serve(open_store("s3://volumes/elsewhere"), say=said.append) as server:
            assert Browser(server).ask("denied")[0] == 403
            assert Browser(server).ask("failing")[0] == 503
            for _ in range(20):
                Browser(server).ask("denied")
    assert "s3://volumes/elsewhere/denied: access denied" in said[0]
    assert "the store failed" in said[1]
    assert len(said) < 10


# Other readers over the served volume


@pytest.mark.parametrize("name", ["grey", "shards", "colour", "deep"])
def test_other_readers_see_every_voxel_through_the_server(volume, name):
    info = read_info(volume(name))
    due = textured((*SHAPE, info["num_channels"]), info["data_type"])
    with serve(open_store(volume(name).as_uri())) as server:
        ours = read_tensorstore({"driver": "http", "base_url": f"{server.source}/"}, info)
        theirs = read_cloudvolume(f"precomputed://{server.source}", info)
    np.testing.assert_array_equal(ours[0], due)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


# The link


def link_of(folder: Path) -> dict:
    """Return the state of the link that the command prints for a folder."""
    with viewing(str(folder)) as link:
        assert link.startswith(f"{HOSTED}/#!")
        return state_of(link)


def test_the_link_of_a_folder(volume):
    state = link_of(volume("grey"))
    assert state["dimensions"] == {"x": [4e-9, "m"], "y": [4e-9, "m"], "z": [4e-8, "m"]}
    assert state["position"] == [30, 25, 12]
    assert state["crossSectionScale"] == pytest.approx(240 / 420)
    (layer,) = state["layers"]
    assert (layer["type"], layer["name"]) == ("image", "a brain")
    assert layer["source"].startswith("precomputed://http://127.0.0.1:")
    assert "emitGrayscale" in layer["shader"]
    low, high = layer["shaderControls"]["normalized"]["range"]
    voxels = textured((*SHAPE, 1), "uint8")
    assert low == pytest.approx(np.quantile(voxels, 0.001), abs=8)
    assert high == pytest.approx(np.quantile(voxels, 0.999), abs=8)
    report = json.loads((volume("grey") / ".zblocks/report.json").read_text())
    assert report["contrast"] == [low, high]
    assert state_of(report["link"])["layers"][0]["shaderControls"] == layer["shaderControls"]


def test_the_link_of_colours_labels_and_deep_greys(volume):
    colour = viewer_state(volume("colour"))["layers"][0]
    assert "emitRGB" in colour["shader"]
    assert "shaderControls" not in colour
    labels = viewer_state(volume("labels"))["layers"][0]
    assert labels["type"] == "segmentation"
    assert not {"shader", "shaderControls"} & set(labels)
    deep = viewer_state(volume("deep"))["layers"][0]
    low, high = deep["shaderControls"]["normalized"]["range"]
    assert low == pytest.approx(np.quantile(textured((*SHAPE, 1), "uint16"), 0.001), abs=1000)
    assert high == pytest.approx(np.quantile(textured((*SHAPE, 1), "uint16"), 0.999), abs=1000)


def test_the_link_of_floats_and_of_deep_colours(tmp_path):
    floats = np.random.default_rng(0).normal(-2, 0.5, (*SHAPE, 1)).astype("float32")
    folder = convert(tmp_path / "float", floats, ".tif")
    report = json.loads((folder / ".zblocks/report.json").read_text())
    assert report["contrast"] == pytest.approx(np.quantile(floats, [0.001, 0.999]), abs=0.5)
    (layer,) = state_of(report["link"])["layers"]
    assert layer["shaderControls"]["normalized"]["range"] == report["contrast"]
    dark = textured((*SHAPE, 3), "uint16") // 16
    folder = convert(tmp_path / "rgb", dark, ".tif")
    report = json.loads((folder / ".zblocks/report.json").read_text())
    assert report["contrast"] == pytest.approx(np.quantile(dark, [0.001, 0.999]), abs=70)
    assert "emitRGB" in state_of(report["link"])["layers"][0]["shader"]


def viewer_state(folder: Path) -> dict:
    return state_of(viewer_link(read_viewed_volume(open_store(folder.as_uri())), "http://host/v"))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("sharding", [False, True])
def test_the_link_of_a_volume_of_another_tool(tmp_path, dtype, channels, sharding):
    """Written by tensorstore: no report, so the contrast is measured."""
    rng = np.random.default_rng(0)
    voxels = (rng.normal(0, 8, (40, 30, 20, channels)) + 60).astype(dtype)
    scale = {
        "size": [40, 30, 20], "encoding": "raw", "chunk_size": [16, 16, 16],
        "resolution": [8, 8, 30], "voxel_offset": [100, 0, -6],
    }  # fmt: skip
    if sharding:
        scale["sharding"] = {
            "@type": "neuroglancer_uint64_sharded_v1", "preshift_bits": 1, "minishard_bits": 1,
            "shard_bits": 1, "hash": "murmurhash3_x86_128", "data_encoding": "gzip",
        }  # fmt: skip
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{tmp_path}/v/"},
        "multiscale_metadata": {"type": "image", "data_type": dtype, "num_channels": channels},
        "scale_metadata": scale,
        "create": True,
    }
    tensorstore.open(spec).result().write(voxels).result()
    state = viewer_state(tmp_path / "v")
    (layer,) = state["layers"]
    assert state["position"] == [120, 15, 4]
    assert state["dimensions"]["z"] == [pytest.approx(30e-9), "m"]
    assert ("emitRGB" in layer["shader"]) == (channels > 1)
    if channels == 3 and dtype == "uint8":
        assert "shaderControls" not in layer
        return
    names = [f"channel{n}" for n in range(channels)] if channels in (2, 5) else ["normalized"]
    assert list(layer["shaderControls"]) == names
    for n, name in enumerate(names):
        due = voxels[..., n] if len(names) > 1 else voxels
        found = layer["shaderControls"][name]["range"]
        assert found == pytest.approx(np.quantile(due, [0.001, 0.999]), abs=1.5)


def test_what_cannot_be_measured_has_no_range(tmp_path):
    (tmp_path / "info").write_text(json.dumps({
        "type": "image", "data_type": "uint16", "num_channels": 1, "scales": [{
            "key": "s", "size": [9, 9, 9], "resolution": [1, 1, 1], "chunk_sizes": [[8, 8, 8]],
            "encoding": "raw"}],
    }))  # fmt: skip
    # Every chunk is absent.
    assert read_viewed_volume(open_store(tmp_path.as_uri())).contrast == (None,)
    (tmp_path / "s").mkdir()
    (tmp_path / "s/0-8_0-8_0-8").write_bytes(b"short")
    assert read_viewed_volume(open_store(tmp_path.as_uri())).contrast == (None,)


def test_a_folder_has_no_link_for_others(volume):
    done = zblocks("view", volume("grey"), "--link")
    assert (done.code, done.out) == (2, "")
    assert "omit --link" in done.err


def test_what_is_no_volume_is_refused(tmp_path):
    done = zblocks("view", tmp_path)
    assert done.code == 2
    assert "info: not found" in done.err
    (tmp_path / "info").write_text('{"type": "image", "scales": []}')
    done = zblocks("view", tmp_path, "--no-browser")
    assert done.code == 2
    assert "zblocks verify says more" in done.err


def test_offline_needs_the_client(volume, tmp_path, monkeypatch):
    monkeypatch.setattr(view_server, "find_spec", lambda _: None)
    with pytest.raises(InvalidConfig, match="pip install neuroglancer"):
        client_folder()


# Buckets: by link, or served


def publish(cloud, prefix: str) -> None:
    """Make a volume public, without its report: its contrast is measured then."""
    for key in cloud.keys("volumes"):
        if key.startswith(f"{prefix}/") and "/.zblocks/" not in key:
            cloud.s3.put_object_acl(Bucket="volumes", Key=key, ACL="public-read")


def test_a_public_bucket_is_linked_to(bucket):
    publish(bucket, "grey")
    place = f"{bucket.endpoint}/volumes/grey"
    nobody = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"))
    for options in ([], ["--link"]):
        done = zblocks("view", "s3://volumes/grey", "--no-browser", *options, env=nobody)
        assert (done.code, done.err) == (0, "")
        (layer,) = state_of(done.out)["layers"]
        assert done.out.startswith(f"{HOSTED}/#!")
        assert layer["source"] == f"precomputed://{place}"
        assert layer["shaderControls"]["normalized"]["range"]
    assert access_problems("s3://volumes/grey") == ()
    done = zblocks("view", place, "--no-browser", env=nobody)
    assert state_of(done.out)["layers"][0]["source"] == f"precomputed://{place}"


def test_a_private_bucket_is_served_with_the_users_keys(bucket):
    with viewing("s3://volumes/shards", env=bucket.env) as link:
        source = state_of(link)["layers"][0]["source"].removeprefix("precomputed://")
        assert source.startswith("http://127.0.0.1:")
        assert source.endswith("/shards")
        info = bucket.json("volumes", "shards/info")
        found = read_tensorstore({"driver": "http", "base_url": f"{source}/"}, info)
    np.testing.assert_array_equal(found[0], textured((*SHAPE, 1), "uint8"))
    (problem,) = access_problems("s3://volumes/shards")
    assert "403, not publicly readable" in problem
    done = zblocks("view", "s3://volumes/shards", "--link", env=bucket.env)
    assert (done.code, done.out.startswith(HOSTED)) == (0, True)
    assert "not publicly readable" in done.err


def test_a_file_of_keys_is_used(bucket, tmp_path, write_config):
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"access_key": "a", "secret_key": "b", "region": "us-east-1"}))
    config = write_config(s3_creds_file=str(keys))
    nobody = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"))
    nowhere = {"AWS_SHARED_CREDENTIALS_FILE": "/nowhere", "AWS_CONFIG_FILE": "/nowhere",
               "AWS_EC2_METADATA_DISABLED": "true"}  # fmt: skip
    env = {**nobody, **nowhere}
    done = zblocks("view", "s3://volumes/shards", "--link", env=env)
    assert done.code == 2
    assert "no AWS credentials" in done.err
    done = zblocks("view", "s3://volumes/shards", "--link", "--config", config, env=env)
    assert done.code == 0, done.err


# The check of public access


class stub_server:
    """A server of a handler, on the loopback."""

    def __init__(self, handler):
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Publishing(BaseHTTPRequestHandler):
    """Serves a folder to everybody as `/v`, with faults."""

    folder: Path
    faults: dict
    origins: set

    def do_GET(self):
        self.origins.add(self.headers.get("Origin"))
        if "held" in self.path:
            self.faults["reached"].set()
            self.faults["released"].wait()
        path = self.folder / self.path.partition("/v/")[2]
        names = {"": path, "gzip": path.with_name(path.name + ".gz")}
        packed = next((p for p, n in names.items() if n.is_file()), None)
        if "redirect" in self.faults:
            self.answer(307, b"", Location="/there/info")
        elif self.faults.get("hidden", "nothing") in self.path:
            self.answer(403, b"")
        elif packed is None:
            self.answer(200 if "fallback" in self.faults else 404, b"<html>")
        else:
            self.serve(names[packed].read_bytes(), self.faults.get("encoding", packed))

    do_HEAD = do_GET

    def serve(self, body, packed):
        span = None if "no_ranges" in self.faults else self.headers.get("Range")
        more = {"Content-Encoding": packed} if packed else {}
        if span:
            body = body[slice(*parse_range(span))]
        self.answer(206 if span else 200, body, **more)

    def answer(self, status, body, **headers):
        self.send_response(status)
        if origin := self.faults.get("origin", "*"):
            self.send_header("Access-Control-Allow-Origin", origin)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


def publishing(folder: Path, **faults) -> type[Publishing]:
    attributes = {"folder": folder, "faults": faults, "origins": set()}
    return type("Publishing", (Publishing,), attributes)


@pytest.mark.parametrize("name", ["grey", "shards"])
@pytest.mark.parametrize("origin", ["*", HOSTED])
def test_a_well_published_volume_has_no_problems(volume, name, origin):
    handler = publishing(volume(name), origin=origin)
    with stub_server(handler) as address:
        assert access_problems(f"{address}/v") == ()
    assert handler.origins == {HOSTED}


@pytest.mark.parametrize(
    ("name", "faults", "words"),
    [
        ("grey", {"origin": ""}, "has no Access-Control-Allow-Origin"),
        ("grey", {"origin": "https://other.example"}, "allows the origin https://other.example"),
        ("grey", {"fallback": True}, "status 200 though there is no such object"),
        ("grey", {"hidden": "_"}, "make the chunks publicly readable"),
        ("grey", {"hidden": "info"}, "403, not publicly readable"),
        ("grey", {"encoding": "aws-chunked,gzip"}, "two Content-Encodings"),
        ("grey", {"encoding": "zstd"}, "not all browsers decode"),
        ("shards", {"encoding": "gzip"}, "has Content-Encoding gzip and isn't gzip"),
        ("shards", {"no_ranges": True}, "Range is ignored"),
    ],
)
def test_what_keeps_a_browser_out_is_named(volume, name, faults, words):
    with stub_server(publishing(volume(name), **faults)) as address:
        problems = access_problems(f"{address}/v")
    assert len(problems) == 1, problems
    assert words in problems[0]
    assert problems[0].startswith(address)


def test_a_volume_that_browsers_may_not_read_is_served_with_a_note(volume):
    handler = publishing(volume("grey"), origin="")
    with stub_server(handler) as address, viewing(f"{address}/v") as link:
        source = state_of(link)["layers"][0]["source"].removeprefix("precomputed://")
        assert source.startswith("http://127.0.0.1:")
        assert not source.startswith(address)
        info = read_info(volume("grey"))
        found = read_tensorstore({"driver": "http", "base_url": f"{source}/"}, info)
    np.testing.assert_array_equal(found[0], textured((*SHAPE, 1), "uint8"))


def test_a_redirect_is_said_and_gone_round(volume):
    with stub_server(publishing(volume("grey"), redirect=True)) as address:
        found = check_public_access(f"{address}/v")
    assert found.moved == ""  # a relative address names no other place
    assert "status 307" in found.problems[0]


BUCKET = access_rules.Address("https://b.s3.amazonaws.com/p", "s3://b/p", "b", "p")


def answer(status: int, body: bytes = b"", **headers: str) -> access_rules.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return access_rules.Response(f"{BUCKET.url}/info", status, names, body)


@pytest.mark.parametrize("status", [301, 307, 400])
def test_a_bucket_of_another_region_gets_its_right_address(status):
    there = access_rules.moved_address(BUCKET, answer(status, x_amz_bucket_region="eu-south-1"))
    assert there is not None
    assert there[0].url == "https://b.s3.eu-south-1.amazonaws.com/p"
    assert there[0].source == there[0].url
    assert "eu-south-1" in there[1]
    assert "precomputed://https://b.s3.eu-south-1.amazonaws.com/p" in there[1]
    assert access_rules.moved_address(BUCKET, answer(200, x_amz_bucket_region="eu-south-1")) is None
    assert access_rules.moved_address(BUCKET, answer(307, x_amz_bucket_region="evil/..")) is None


def test_another_address_of_the_volume_is_used():
    there = access_rules.moved_address(BUCKET, answer(301, location="https://cdn.example/p/info"))
    assert there is not None
    assert there[0].url == "https://cdn.example/p"


def test_the_fix_of_a_bucket_lets_the_viewer_in():
    (problem,) = access_rules.response_problems(BUCKET, answer(200))
    assert "aws s3api put-bucket-cors --bucket b --cors-configuration '{" in problem
    assert (CORS_RULE["AllowedOrigins"], CORS_RULE["AllowedMethods"]) == ([HOSTED], ["GET", "HEAD"])
    assert "Content-Range" in CORS_RULE["ExposeHeaders"]


def test_the_fix_of_a_bucket_works(bucket):
    """The very line that is printed, run by a shell."""
    address = access_rules.Address(f"{bucket.endpoint}/volumes/p", "", "volumes", "p")
    line = access_rules.cors_fix(address).splitlines()[-1].strip().removeprefix("aws ")
    subprocess.run(f"{command('aws')} {line}", shell=True, check=True, env=os.environ | bucket.env)
    (rule,) = bucket.s3.get_bucket_cors(Bucket="volumes")["CORSRules"]
    assert rule == CORS_RULE


def test_an_https_page_reads_no_http():
    (problem,) = access_rules.address_problems(access_rules.Address("http://h.example/v", ""))
    assert "only https" in problem
    for url in ("http://localhost:1/v", "http://127.0.0.1:1/v", "https://h.example/v"):
        assert list(access_rules.address_problems(access_rules.Address(url, ""))) == []


def test_no_answer_is_a_problem():
    (problem,) = access_problems("http://127.0.0.1:9/v")
    assert "no response" in problem


# The end


@pytest.mark.parametrize(
    ("before", "signals", "how"),
    [
        ([], [signal.SIGINT], "Ctrl-C"),
        ([], [signal.SIGTERM], "Ctrl-C"),
        (
            ["sh", "-c", '"$@" & wait $!', "sh"],
            [signal.SIGINT, signal.SIGTERM],
            r"kill (\d+) \(Ctrl-C is ignored here\)",
        ),
    ],
    ids=["Ctrl-C", "SIGTERM", "SIGTERM in the background, where Ctrl-C is ignored"],
)
def test_it_ends_at_once_and_well(volume, before, signals, how):
    """While the client's stream of events is open, and a request to a store that hangs."""
    reached, released = threading.Event(), threading.Event()
    handler = publishing(volume("grey"), reached=reached, released=released)
    with stub_server(handler) as address, begun(before, f"{address}/v", "--offline") as run:
        link = run.stdout.readline()
        source = state_of(link)["layers"][0]["source"].removeprefix("precomputed://")
        (said,) = re.findall(f"^serving until {how}$", run.stderr.readline())
        with urlopen(link.partition("v/client/")[0] + "events/client") as events:
            assert events.readline() == b":\n"
            url = urlsplit(f"{source}/held")
            with closing(http.client.HTTPConnection(url.netloc)) as line:
                line.request("GET", url.path)
                assert reached.wait(30)
                for number in signals:
                    os.kill(int(said) if before else run.pid, number)
                _, err = run.communicate(timeout=30)  # half of what the store waits for
        released.set()
    assert (run.returncode, err) == (0, "")


@contextmanager
def begun(before, *arguments):
    """Run `zblocks view` as a user does, after other words of a command line."""
    line = [*before, sys.executable, "-m", "zblocks", "view", *arguments, "--no-browser"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with default_signals():
        run = subprocess.Popen(line, start_new_session=True, **pipes)
    with run:
        try:
            yield run
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)


# The real viewer


@pytest.mark.browser
@pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed")
@pytest.mark.parametrize("name", ["grey", "shards"])
def test_the_volume_is_seen_in_neuroglancer_offline(volume, name):
    with viewing(str(volume(name)), "--offline") as link, open_page(link) as page:
        page.show()
        assert page.count(0) > 0
        assert page.failed == 0
        statuses = set(page.fetched.values())
        chunks = [url for url in page.fetched if urlsplit(url).path.count("/") == 4]
        scales = {s["key"] for s in read_info(volume(name))["scales"]}
        assert {url.split("/")[-2] for url in page.fetched} >= scales
        assert page.hosts == {"127.0.0.1"}
    assert statuses == ({200} if name == "grey" else {200, 206})
    assert chunks


def hosted_page(page) -> None:
    """Be the hosted viewer, with the files of the bundled one; and allow it the loopback."""

    def answer(route):
        name = urlsplit(route.request.url).path.rsplit("/", 1)[-1] or "index.html"
        file = client_folder() / name
        if file.is_file():
            route.fulfill(path=file)
        else:
            route.abort()

    page.route(f"{HOSTED}/**", answer)
    page.context.grant_permissions(["local-network-access"], origin=HOSTED)


@pytest.mark.browser
@pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed")
def test_a_page_of_the_hosted_viewer_reads_the_loopback(volume):
    """By https, as everybody opens it: CORS, mixed content and the browser's permission."""
    with viewing(str(volume("shards"))) as link:
        source = state_of(link)["layers"][0]["source"].removeprefix("precomputed://")
        # The bundled client finds its own server by the "/v/" of its url.
        with open_page(with_client(link, f"{HOSTED}/v/x/"), hosted_page) as page:
            page.show()
            assert page.count(0) > 0
            assert page.failed == 0
            here = {u: s for u, s in page.fetched.items() if u.startswith(source)}
            assert set(here.values()) == {200, 206}
