"""The `zblocks` command: arguments in, text out. A module for each group of commands."""

from zblocks.cli import convert, execution, plan, verify, view
from zblocks.cli.command import app

__all__ = ["app", "convert", "execution", "main", "plan", "verify", "view"]


def main() -> None:
    """Run the command."""
    app()
