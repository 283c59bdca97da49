"""The `zblocks` command: arguments in, text out. A module for each group of commands."""

from zblocks.cli import init  # noqa: I001 (the order of --help)
from zblocks.cli import plan, convert, execution, verify, view
from zblocks.cli.command import app

__all__ = ["app", "convert", "execution", "init", "main", "plan", "verify", "view"]


def main() -> None:
    """Run the command."""
    app(prog_name="zblocks")  # however it was started: completion and help go by it
