"""`cdk bootstrap` and `cdk deploy`, the real ones, and what the stack says afterwards."""

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from demo.emulator import ACCOUNT, REGION, Emulator

ROOT = Path(__file__).resolve().parents[1]


class DeployError(RuntimeError):
    """A CDK command failed; the message has its output."""


def bootstrap(aws: Emulator) -> None:
    """Prepare the account for CDK: its asset bucket and roles."""
    # Away from cdk.json: with an account named, there is no need to synthesise the app.
    with tempfile.TemporaryDirectory() as elsewhere:
        cdk(aws, ["bootstrap", f"aws://{ACCOUNT}/{REGION}"], Path(elsewhere))


def deploy(aws: Emulator, context: Mapping[str, str], stack: str = "zblocks") -> dict[str, str]:
    """Deploy the stack with wheels for this very machine; return its outputs."""
    options = [f"--context={name}={value}" for name, value in _all(context, stack).items()]
    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder) / "outputs.json"
        cdk(aws, ["deploy", "--require-approval=never", f"--outputs-file={outputs}", *options])
        found: dict[str, str] = json.loads(outputs.read_text())[stack]
    return found


def cdk(aws: Emulator, arguments: Sequence[str], folder: Path = ROOT) -> None:
    """Run the pinned CDK command line (what `npx cdk` runs) against the emulator."""
    line = [str(ROOT / "node_modules/.bin/cdk"), *arguments, "--no-notices", "--ci"]
    done = subprocess.run(
        line, cwd=folder, env=dict(aws.env), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise DeployError(f"{' '.join(line)} failed:\n{done.stdout}{done.stderr}")


def _all(context: Mapping[str, str], stack: str) -> dict[str, str]:
    return {"architecture": "host", "stack_name": stack, **context}
