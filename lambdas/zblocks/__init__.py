"""zblocks: aligned microscope slices become a Neuroglancer volume, in one pass."""

__version__ = "0.1.0"
