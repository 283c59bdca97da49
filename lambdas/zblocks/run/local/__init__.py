"""A run on this machine, over processes."""
