"""`python -m zblocks`."""

from zblocks.cli import main

if __name__ == "__main__":
    main()
