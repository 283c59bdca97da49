"""The CDK app that cdk.json names: one stack from the context values."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Synthesise; bad context ends in one line, not in a traceback."""
    use_an_interpreter_with_cdk()
    from infra.settings import SettingsError, read_settings
    from infra.stack import make_app
    from infra.taken import taken_buckets

    try:
        app = make_app()
    except SettingsError as error:
        sys.exit(f"zblocks: {error}")
    for line in taken_buckets(read_settings(app.node.try_get_context)):
        print(f"zblocks: {line}", file=sys.stderr)
    app.synth()


def use_an_interpreter_with_cdk() -> None:
    """Start again in .venv when this python has no aws_cdk, so plain `cdk deploy` works."""
    if find_spec("aws_cdk"):
        return
    ours = ROOT / ".venv" / "bin" / "python3"
    if ours.exists() and Path(sys.prefix) != ROOT / ".venv":
        os.execv(ours, [str(ours), "-m", "infra.app"])  # noqa: S606 - no shell wanted
    sys.exit(f"zblocks: {sys.executable} has no aws_cdk: run `make setup`, or activate its .venv")


if __name__ == "__main__":
    main()
