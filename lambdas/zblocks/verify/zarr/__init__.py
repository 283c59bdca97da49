"""Checks OME-Zarr images of any tool: documents, chunks, shards."""
