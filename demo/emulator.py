"""An AWS of one's own: MiniStack on this machine, for rehearsals without an account.

    with emulator() as aws:
        subprocess.run(["aws", "s3", "ls"], env=aws.env)

It listens on 127.0.0.1 only, keeps everything in memory, and is gone at the end.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from demo.signals import default_signals

ACCOUNT = "000000000000"
REGION = "us-east-1"
KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
HEALTH = "/_ministack/health"
SECONDS_TO_START = 60
SECONDS_TO_STOP = 5


class EmulatorError(RuntimeError):
    """The emulator did not come up; the message has the end of its log."""


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running emulator."""

    endpoint: str
    """http://127.0.0.1:PORT, for every service."""
    env: Mapping[str, str]
    """Environment for clients: fake keys, the region, the endpoint, this Python's tools first."""
    log: Path
    """What the emulator and the functions in it say; gone when the emulator is."""

    def client(self, service: str) -> Any:
        """Return an SDK client, for questions that are asked often: `aws` starts slowly."""
        return _client(service, self.endpoint)


@contextmanager
def emulator(port: int = 0, *, wait_scale: float = 1.0) -> Iterator[Emulator]:
    """Start MiniStack, yield it when it answers, and stop it whatever happens.

    Args:
        port: Where to listen; 0 takes a free one.
        wait_scale: Length of the state machines' waits and back-offs, as a fraction.
    """
    port = port or _free_port()
    with tempfile.TemporaryDirectory(prefix="zblocks-emulator-") as folder:
        scratch = Path(folder)
        env = client_env(f"http://127.0.0.1:{port}", scratch)
        log = scratch / "emulator.log"
        process = _start({**env, **_server_env(port, wait_scale)}, scratch, log)
        try:
            _wait_until_healthy(process, f"http://127.0.0.1:{port}", log)
            yield Emulator(f"http://127.0.0.1:{port}", env, log)
        finally:
            _stop(process)


def client_env(endpoint: str, home: Path) -> dict[str, str]:
    """Give an environment in which AWS clients can reach the emulator and nothing else."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    tools = Path(sys.executable).parent
    return kept | {
        "AWS_ENDPOINT_URL": endpoint,
        # The session token is there because some clients ask for it as soon as keys exist.
        **{name.upper(): "test" for name in KEYS},
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
        # The user's profiles must not be found: a rehearsal never touches a real account.
        "AWS_CONFIG_FILE": str(home / "no-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / "no-credentials"),
        "CDK_DEFAULT_ACCOUNT": ACCOUNT,
        "CDK_DEFAULT_REGION": REGION,
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "CDK_DISABLE_VERSION_CHECK": "true",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', '')}",
    }


@cache
def _client(service: str, endpoint: str) -> Any:
    session = boto3.Session(**dict.fromkeys(KEYS, "test"), region_name=REGION)
    direct = Config(proxies={})  # whatever the environment says
    return session.client(service, endpoint_url=endpoint, config=direct)


def _server_env(port: int, wait_scale: float) -> dict[str, str]:
    return {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "S3_PERSIST": "0",
        "PERSIST_STATE": "0",
        "LOG_LEVEL": "INFO",
        "SFN_WAIT_SCALE": str(wait_scale),
        "LAMBDA_EXECUTOR": "local",
        # Listeners of services that nothing here uses.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
    }


def _start(env: Mapping[str, str], scratch: Path, log: Path) -> subprocess.Popen[bytes]:
    # Functions' folders go below TMPDIR, so that a hard stop leaves nothing behind.
    with log.open("wb") as sink, default_signals():
        return subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            env={**env, "TMPDIR": str(scratch), "STATE_DIR": str(scratch / "state")},
            cwd=scratch,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_until_healthy(process: subprocess.Popen[bytes], endpoint: str, log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise EmulatorError(f"the emulator ended with {process.returncode}:\n{tail(log)}")
        if _answers(endpoint):
            return
        time.sleep(0.1)
    raise EmulatorError(f"no answer from {endpoint} in {SECONDS_TO_START} s:\n{tail(log)}")


def _answers(endpoint: str) -> bool:
    # No proxy may stand between: urllib would take one from the environment.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(endpoint + HEALTH, timeout=2) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def tail(log: Path, lines: int = 30) -> str:
    """Give the end of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the emulator and the functions it has started (a session of its own)."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
            process.wait(SECONDS_TO_STOP)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(name: str) -> str:
    """Find a tool of this Python's environment, else on the PATH.

    Raises:
        EmulatorError: It is in neither.
    """
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise EmulatorError(f"{name} is missing: run `make setup`")
    return found
