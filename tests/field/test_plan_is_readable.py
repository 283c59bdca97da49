"""`zblocks plan` shows whole numbers, wherever it is printed."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest
import tifffile

from tests.flow.conftest import zblocks

SIZE = (65000, 33000, 4)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """Large slices: a file of zeros that takes no room on the disk, under four names."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "in").mkdir()
    width, height, depth = SIZE
    first = folder / "in/s_0.tif"
    tifffile.memmap(first, shape=(height, width), dtype="uint8", metadata=None)
    for z in range(1, depth):
        (folder / f"in/s_{z}.tif").hardlink_to(first)
    path = folder / "config.json"
    document = {
        "folder_to_convert_from": str(folder / "in"),
        "folder_to_convert_to": str(folder / "out"),
        "voxel_resolution": [500, 500, 10_000],
    }
    path.write_text(json.dumps(document))
    return path


def check_whole(text, config):
    """Fail unless every scale's size and numbers stand in the text, each in one piece."""
    assert "…" not in text
    said = zblocks("plan", config, "--json").json
    assert said["scales"][0]["size"] == list(SIZE)
    for row in said["scales"]:
        for numbers in (row["size"], row["chunk"]):
            assert "×".join(map(str, numbers)) in text
        assert f"{row['bytes'] / 1e6:,.1f}" in text
        assert f"{row['objects']:,}" in text


@pytest.mark.parametrize("columns", ["20", "80", None])
def test_off_a_terminal(config, columns):
    done = zblocks("plan", config, env={"COLUMNS": columns})
    assert done.code == 0
    check_whole(done.out, config)
    widths = {len(line) for line in done.out.splitlines() if "_10000 " in line}
    assert len(widths) == 1  # a table


def on_a_terminal(config, columns):
    """Return what `zblocks plan` writes to a terminal that is so wide."""
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", "zblocks", "plan", str(config)],
        stdin=terminal, stdout=terminal, stderr=terminal,
        env={**env, "TERM": "xterm", "NO_COLOR": "1"},
    )  # fmt: skip
    os.close(terminal)
    said = b""
    try:
        while part := os.read(main, 1 << 16):
            said += part
    except OSError:  # the other end is closed
        pass
    os.close(main)
    assert process.wait() == 0, said.decode()
    return said.decode()


@pytest.mark.parametrize("columns", [30, 60, 200])
def test_on_a_terminal(config, columns):
    said = on_a_terminal(config, columns)
    check_whole(said, config)
    table = [line for line in said.splitlines() if line.lstrip().startswith(("500_", "size"))]
    assert table
    assert all(len(line) <= columns for line in table)  # no number is broken by the terminal
