"""Converts slices to the chunks of every scale, one task at a time."""
