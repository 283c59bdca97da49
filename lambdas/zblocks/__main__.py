"""`python -m zblocks`, and the `zblocks` command."""

import os


def main() -> None:
    """Run the command line."""
    # Nothing here uses BLAS, whose threads cost each process a third of numpy's import.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from zblocks.cli import main as run

    run()


if __name__ == "__main__":
    main()
