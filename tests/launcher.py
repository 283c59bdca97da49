"""The `zblocks` command for hundreds of tests: a process imports it once and forks for each run.

Each run is a process of its own, as a user's is, and so is each of its workers, but for the time
that Python takes to start and to import. `python -m tests.launcher FOLDER MODULE…` is the process
that forks: one request a line of JSON on stdin, one answer a line on stdout. Workers are asked for
at a socket in FOLDER, by what runs find as `sys.executable`.
"""

from __future__ import annotations

import atexit
import gc
import json
import marshal
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

STUB = """#!{python} -ISE
import _socket, marshal, os, sys
line = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
line.connect({address!r})
pipes = b"".join(fd.to_bytes(4, sys.byteorder) for fd in range(3))
request = marshal.dumps((sys.argv, dict(os.environ), os.getcwd()))
line.sendmsg([b"!"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, pipes)])
line.sendall(len(request).to_bytes(8, "big") + request)
os.closerange(0, 2)
line.recv(1)
"""
"""Has a worker forked with its pipes, and lives as long as that does: the run sees this process."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str
    seconds: float
    peak_mb: int
    """Of its largest process, forked workers aside."""


class Launcher:
    """Runs commands, one after the other; ends with this process."""

    def __init__(self, *modules: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="zblocks-launcher-")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.launcher", self._folder.name, *modules],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        )  # fmt: skip

    def run(
        self,
        arguments: Sequence[str],
        env: Mapping[str, str],
        seconds: float,
        space: int = 0,
        *,
        forked: bool = True,
    ) -> Ended:
        """Run `zblocks` with arguments in an environment and this process's folder.

        Args:
            arguments: what a user types after `zblocks`.
            env: the whole environment.
            seconds: after which it is killed (exit code -9).
            space: bytes that its processes may map; 0: no limit.
            forked: whether its workers are forked, too; else it starts them itself, within `space`,
                and their memory is their own.
        """
        out, err = (Path(self._folder.name) / name for name in ("out", "err"))
        request = {
            "arguments": list(arguments), "env": dict(env), "folder": str(Path.cwd()),
            "seconds": seconds, "space": space, "forked": forked, "out": str(out), "err": str(err),
        }  # fmt: skip
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        text = {"out": out, "err": err}
        return Ended(**answer, **{k: p.read_text(errors="replace") for k, p in text.items()})


class Forks:
    """The process that forks."""

    def __init__(self, folder: Path) -> None:
        self._stub, address = folder / "python", folder / "workers"
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(address))
        self._listener.listen()
        self._stub.write_text(STUB.format(python=sys.executable, address=str(address)))
        self._stub.chmod(0o700)

    def serve(self) -> Callable[[], None]:
        """Answer requests until there are none; return what a forked process has to do."""
        for line in sys.stdin:
            answer = self._launch(json.loads(line))
            if callable(answer):
                return answer
            print(json.dumps(answer), flush=True)
        return lambda: None

    def _launch(self, request: dict) -> dict | Callable[[], None]:
        """Run one command; return how it ended, or in a forked process what that has to do."""
        begun = time.monotonic()
        pid = os.fork()
        if pid == 0:
            return lambda: self._be_command(request)
        killed = False
        while True:
            ended, status, used = os.wait4(-1, os.WNOHANG)
            if ended == pid:
                break
            if not killed and time.monotonic() > begun + request["seconds"]:
                os.killpg(pid, signal.SIGKILL)
                killed = True
            if select.select([self._listener], [], [], 0.005)[0] and (worker := self._fork()):
                return worker
        return {
            "code": os.waitstatus_to_exitcode(status),
            "seconds": time.monotonic() - begun,
            "peak_mb": used.ru_maxrss >> 10,
        }

    def _be_command(self, request: dict) -> None:
        self._listener.close()
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for stream, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        if request["space"]:
            resource.setrlimit(resource.RLIMIT_AS, (request["space"],) * 2)
        if request["forked"]:
            sys.executable = str(self._stub)
        settle(["zblocks", *request["arguments"]], request["env"], request["folder"])
        from zblocks.__main__ import main

        main()

    def _fork(self) -> Callable[[], None] | None:
        """Fork the worker that a stub asks for; return what it has to do, in its process."""
        line, _ = self._listener.accept()
        _, pipes, _, _ = socket.recv_fds(line, 1, 3)
        with suppress(EOFError), line.makefile("rb") as sent:  # of a stub that was killed
            request = marshal.loads(sent.read(int.from_bytes(sent.read(8), "big")))
            if os.fork() == 0:
                self._listener.close()
                return lambda: be_worker(line, pipes, request)
        for opened in (*pipes, line.detach()):
            os.close(opened)
        return None


def be_worker(line: socket.socket, pipes: Sequence[int], request: tuple) -> None:
    """Run the program that was given to the stub, `python -c PROGRAM …`, until the stub ends."""
    (_, _, program, *arguments), env, folder = request
    for number, pipe in enumerate(pipes):
        os.dup2(pipe, number)
        os.close(pipe)
    settle(["-c", *arguments], env, folder)
    threading.Thread(target=lambda: (line.recv(1), os._exit(1)), daemon=True).start()
    exec(program, {"__name__": "__main__"})


def settle(arguments: list[str], env: Mapping[str, str], folder: str) -> None:
    """Give this process what it would have been started with."""
    os.chdir(folder)
    os.environ.clear()
    os.environ |= env
    sys.argv = arguments


def end(code: object) -> None:
    """End as Python does, but without clearing away what thousands of runs have in common."""
    if isinstance(code, str):
        print(code, file=sys.stderr)
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


if __name__ == "__main__":
    for each in sys.argv[2:]:
        import_module(each)
    gc.freeze()  # what is imported stays shared
    try:
        Forks(Path(sys.argv[1])).serve()()
    except SystemExit as error:
        end(error.code)
    else:
        end(None)
