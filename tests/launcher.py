"""Runs `zblocks` again and again: imports it once, then forks for each command, under limits.

A small process of its own, since what a process may be charged with begins with what its parent
had. One request a line of JSON on stdin, one answer a line on stdout.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time

import zblocks.cli


def child(request: dict) -> None:
    """Be the command; never returns."""
    said = os.open(request["said"], os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(said, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (request["bytes"],) * 2)
    sys.argv = ["zblocks", *request["arguments"]]
    code = 1
    try:
        zblocks.cli.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def launch(request: dict) -> dict:
    """Run one command; return how it ended."""
    begun = time.monotonic()
    pid = os.fork()
    if pid == 0:
        child(request)
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


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(launch(json.loads(line))), flush=True)
