"""OME-Zarr images: arrays of chunks, and the documents that describe them."""
