"""The `zblocks` command for hundreds of tests: a process imports it once and forks for each run.

Each run is a process of its own, as a user's is, but for the time that Python takes to start and
to import. `python -m tests.launcher MODULE…` is that process: one request a line of JSON on stdin,
one answer a line on stdout.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str
    seconds: float
    peak_mb: int
    """Of its largest process."""


class Launcher:
    """Runs commands, one after the other; ends with this process."""

    def __init__(self, *modules: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="zblocks-launcher-")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.launcher", *modules],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )  # fmt: skip

    def run(
        self, arguments: Sequence[str], env: Mapping[str, str], seconds: float, space: int = 0
    ) -> Ended:
        """Run `zblocks` with arguments in an environment and this process's folder.

        Args:
            arguments: what a user types after `zblocks`.
            env: the whole environment.
            seconds: after which it is killed (exit code -9).
            space: bytes that its processes may map; 0: no limit.
        """
        out, err = (Path(self._folder.name) / name for name in ("out", "err"))
        request = {
            "arguments": list(arguments), "env": dict(env), "folder": str(Path.cwd()),
            "seconds": seconds, "space": space, "out": str(out), "err": str(err),
        }  # fmt: skip
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        text = {"out": out, "err": err}
        return Ended(**answer, **{k: p.read_text(errors="replace") for k, p in text.items()})


def launch(request: dict) -> dict | None:
    """Run one command; return how it ended, or None in the process that is the command."""
    begun = time.monotonic()
    pid = os.fork()
    if pid == 0:
        become(request)
        return None
    killed = False
    while True:
        ended, status, used = os.wait4(pid, os.WNOHANG)
        if ended:
            break
        if not killed and time.monotonic() > begun + request["seconds"]:
            os.killpg(pid, signal.SIGKILL)
            killed = True
        time.sleep(0.005)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "seconds": time.monotonic() - begun,
        "peak_mb": used.ru_maxrss >> 10,
    }


def become(request: dict) -> None:
    """Be the command's process."""
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    if request["space"]:
        resource.setrlimit(resource.RLIMIT_AS, (request["space"],) * 2)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ |= request["env"]
    sys.argv = ["zblocks", *request["arguments"]]


def serve() -> bool:
    """Answer requests; return whether this is the process of a command."""
    for line in sys.stdin:
        answer = launch(json.loads(line))
        if answer is None:
            return True
        print(json.dumps(answer), flush=True)
    return False


if __name__ == "__main__":
    for each in sys.argv[1:]:
        import_module(each)
    gc.freeze()  # what is imported stays shared
    if serve():
        from zblocks.__main__ import main

        main()
