"""Reads and writes Neuroglancer's precomputed volume format."""
