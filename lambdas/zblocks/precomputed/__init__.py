"""OUT: all that zblocks knows of Neuroglancer's precomputed volume format."""
