"""`python -m zblocks`, and the `zblocks` command."""


def main() -> None:
    """Run the command line."""
    from zblocks.cli import main as run

    run()


if __name__ == "__main__":
    main()
