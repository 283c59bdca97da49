"""`python -m zblocks`, and the `zblocks` command.

Light on purpose: every process of a conversion imports it anew.
"""


def main() -> None:
    """Run the command line."""
    from zblocks.cli import main as run

    run()


if __name__ == "__main__":
    main()
