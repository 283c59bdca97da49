"""The `zblocks` command: arguments in, text out."""

from zblocks.cli.commands import app, main

__all__ = ["app", "main"]
