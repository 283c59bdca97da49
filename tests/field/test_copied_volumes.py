"""A volume made in a folder and copied to a bucket by some other program, as the AWS CLI does."""

from __future__ import annotations

import gzip
import json
import os
import shlex
import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tests.flow.conftest import textured, write_stack, zblocks
from tests.references import read_tensorstore
from zblocks.storage import SIDE_FILES
from zblocks.view.public_access import access_problems

SHAPE = (70, 90, 100, 1)


class Quiet(SimpleHTTPRequestHandler):
    """Serves files."""

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def serve_folder():
    """A function: serves a folder on the loopback; returns its URL."""
    servers = []

    def serve(folder):
        handler = partial(Quiet, directory=str(folder))
        servers.append(server := ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def volume(tmp_path, cloud, monkeypatch):
    """A function: converts a stack by the config that `init` wrote, with more fields."""
    monkeypatch.chdir(tmp_path)
    voxels = write_stack(tmp_path / "in", textured(SHAPE, "uint8"))

    def convert(**fields):
        config = tmp_path / "c.json"
        done = zblocks("init", tmp_path / "in", "--output", config, "--resolution", *"445")
        assert done.code == 0, done.err
        config.write_text(json.dumps(json.loads(config.read_text()) | fields))
        done = zblocks("convert", config)
        assert done.code == 0, done.err
        return tmp_path / "in-volume"

    convert.config, convert.voxels = tmp_path / "c.json", voxels
    return convert


def copy(folder, cloud, packing=lambda _name: "", name=lambda name: name, hidden=True):
    """Put a folder's files at s3://volumes/v."""
    for path in sorted(folder.rglob("*")):
        key = path.relative_to(folder).as_posix()
        if path.is_file() and (hidden or not key.startswith(".zblocks")):
            cloud.put("volumes", f"v/{name(key)}", path.read_bytes(), packing(key))


def refused(words):
    """Check that `view` and `view --link` say this, and give no link; return the command."""
    for arguments in (("--link",), ("--no-browser",)):
        done = zblocks("view", "s3://volumes/v/", *arguments)
        assert done.code == 2, done.out
        assert not done.out
        assert words in done.err
    return done.err.splitlines()[-1].strip()


def run(command):
    """Run a command that was printed, with this test's zblocks and aws."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = os.environ | {"PATH": path}
    for part in command.split(" && "):
        words = shlex.split(part)
        if words[0] == "zblocks":
            done = zblocks(*words[1:])
            assert done.code == 0, done.err
        else:
            done = subprocess.run(words, check=False, env=env, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr


def check(volume, cloud):
    """Check that the volume is sound, viewable, and what the slices hold by another reader."""
    done = zblocks("verify", "s3://volumes/v")
    assert done.code == 0, done.out + done.err
    done = zblocks("view", "s3://volumes/v", "--link")
    assert done.code == 0, done.err
    assert not [key for key in cloud.keys("volumes") if key.endswith((".gz", ".br"))]
    place = {"driver": "s3", "bucket": "volumes", "path": "v/", "endpoint": cloud.endpoint,
             "aws_region": "us-east-1"}  # fmt: skip
    found = read_tensorstore(place, cloud.json("volumes", "v/info"))[0]
    np.testing.assert_array_equal(found, volume.voxels)


@pytest.mark.parametrize("compression", ["gzip", "br"])
def test_the_names_of_a_folder(volume, cloud, compression):
    """`aws s3 cp --recursive`, `aws s3 sync`, gsutil, rclone."""
    folder = volume(compression=compression)
    ending = SIDE_FILES[compression]
    copy(folder, cloud)
    command = refused(f"{ending}: viewers ask for it without {ending} and find nothing; upload")
    assert command == f"zblocks upload {folder} s3://volumes/v"
    run(command)
    if compression == "gzip":
        check(volume, cloud)
    assert zblocks("verify", "s3://volumes/v").code == 0


def test_without_the_folder_and_what_zblocks_left(volume, cloud):
    folder = volume()
    copy(folder, cloud, hidden=False)
    shutil.rmtree(folder)
    command = refused("viewers ask for it without .gz")
    copied = "aws s3 cp --recursive s3://volumes/v v-copy"
    assert command == f"{copied} && zblocks upload v-copy s3://volumes/v"
    run(command)
    check(volume, cloud)


def test_every_object_was_labelled_as_gzip(volume, cloud):
    """`aws s3 cp --recursive --content-encoding gzip`: also `info`, which is none."""
    folder = volume()
    copy(folder, cloud, packing=lambda _key: "gzip")
    run(refused("v/info: has the Content-Encoding gzip and isn't gzip"))
    check(volume, cloud)


def test_the_right_names_without_a_content_encoding(volume, cloud):
    folder = volume()
    copy(folder, cloud, name=lambda key: key.removesuffix(".gz"))
    command = refused("has no Content-Encoding and is gzip, so no viewer can decode it; correct it")
    assert command.startswith("aws s3 cp --recursive s3://volumes/v s3://volumes/v ")
    run(command)
    check(volume, cloud)


def test_a_content_encoding_of_what_is_not_compressed(volume, cloud):
    folder = volume(compression="none")
    copy(folder, cloud, packing=lambda key: "gzip" if key.startswith("4_4_5/") else "")
    run(refused("has the Content-Encoding gzip and is not compressed"))
    check(volume, cloud)


def test_shards_with_a_content_encoding(volume, cloud):
    folder = volume(sharding=True)
    copy(folder, cloud, packing=lambda key: "gzip" if key.endswith(".shard") else "")
    run(refused("has the Content-Encoding gzip and is not compressed"))
    check(volume, cloud)


@pytest.mark.parametrize(
    "fields", [{"sharding": True}, {"compression": "none"}, {"encoding": "png"}], ids=str
)
def test_what_needs_no_content_encoding_passes(volume, cloud, fields):
    copy(volume(**fields), cloud)
    check(volume, cloud)


def test_one_scale_alone(volume, cloud):
    """A copy over a volume that was there: the other scales are sound."""
    folder = volume()
    assert zblocks("upload", folder, "s3://volumes/v").code == 0
    for path in (folder / "4_4_5").iterdir():
        plain = f"v/4_4_5/{path.stem}"
        cloud.s3.delete_object(Bucket="volumes", Key=plain)
        cloud.put("volumes", f"{plain}.gz", path.read_bytes())
    run(refused("v/4_4_5/"))
    check(volume, cloud)


def test_a_volume_of_another_tool_behind_another_server(tmp_path, cloud, serve_folder):
    """No bucket of ours: no command, but what to do."""
    info = {
        "type": "image", "data_type": "uint8", "num_channels": 1,
        "scales": [{"key": "1_1_1", "size": [4, 4, 4], "chunk_sizes": [[4, 4, 4]],
                    "encoding": "raw", "resolution": [1, 1, 1], "voxel_offset": [0, 0, 0]}],
    }  # fmt: skip
    (tmp_path / "v" / "1_1_1").mkdir(parents=True)
    (tmp_path / "v" / "info").write_text(json.dumps(info))
    chunk = tmp_path / "v" / "1_1_1" / "0-4_0-4_0-4.gz"
    chunk.write_bytes(gzip.compress(bytes(range(64))))
    url = serve_folder(tmp_path)
    done = zblocks("view", f"{url}/v", "--link")
    assert done.code == 2
    assert f"{url}/v/1_1_1/0-4_0-4_0-4.gz: viewers ask for it without .gz" in done.err
    assert "store it as 1_1_1/0-4_0-4_0-4, with the Content-Encoding gzip" in done.err


def test_a_volume_that_nobody_else_may_read(volume, cloud):
    """The command opens this volume to all."""
    assert zblocks("upload", volume(), "s3://volumes/v").code == 0
    done = zblocks("view", "s3://volumes/v", "--link")
    assert done.code == 0
    assert "403, not publicly readable" in done.err
    run(done.err.splitlines()[-1].strip())
    assert not access_problems("s3://volumes/v")


# `zblocks upload` of what `init` wrote


def test_upload_by_the_config_of_init(volume, cloud):
    volume()
    done = zblocks("upload", volume.config)
    assert done.code == 2
    assert f"names no bucket for it; give one: zblocks upload {volume.config} s3://" in done.err
    done = zblocks("upload", volume.config, "s3://volumes/v/")
    assert done.code == 0, done.err
    assert "the volume is at s3://volumes/v: " in done.out
    check(volume, cloud)


def test_upload_refuses_what_is_no_bucket_or_no_volume(volume, tmp_path):
    done = zblocks("upload", tmp_path / "in", "s3://volumes/v")
    assert done.code == 2
    assert "in: holds no finished volume (no info); convert first" in done.err
    done = zblocks("upload", tmp_path / "in", "elsewhere")
    assert done.code == 2
    assert "elsewhere: is not in a bucket; give one: zblocks upload" in done.err
