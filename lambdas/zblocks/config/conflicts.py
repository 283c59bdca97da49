"""Conflicts between fields that are valid by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from zblocks.config.messages import describe, show

if TYPE_CHECKING:
    from zblocks.config.config import Config


def conflicts(config: Config) -> Iterator[str]:
    """Yield one problem for each conflict."""
    yield from _source_conflicts(config)
    yield from _destination_conflicts(config)
    yield from _list_conflicts(config)
    yield from _encoding_conflicts(config)
    yield from _label_conflicts(config)
    yield from _missing_conflicts(config)


def _source_conflicts(config: Config) -> Iterator[str]:
    if config.given_source and config.s3_bucket_name_for_download:
        yield "source: given together with s3_bucket_name_for_download; keep one"
    if not config.source:
        folder = ", or folder_to_convert_from" if config.base else ""
        yield (
            "s3_bucket_name_for_download: missing, so there is no source; give the name of "
            f'the bucket with the slices, or "source": "s3://bucket/prefix"{folder}'
        )


def _destination_conflicts(config: Config) -> Iterator[str]:
    names = ("s3_bucket_name_for_upload", "s3_dir_to_write_to")
    both = " and ".join(name for name in names if getattr(config, name))
    if config.given_destination and both:
        upload = " (zblocks upload takes the bucket of a volume in a folder as its second argument)"
        local = config.given_destination.startswith("file:")
        yield f"destination: given together with {both}; keep one{upload if local else ''}"
    if config.s3_bucket_name_for_upload and not config.s3_dir_to_write_to:
        yield f"s3_dir_to_write_to: missing; give {describe('s3_dir_to_write_to')}"
    elif not config.destination:
        folder = ", or folder_to_convert_to" if config.base else ""
        yield (
            "s3_bucket_name_for_upload: missing, so there is no destination; give the name of "
            "the bucket for the volume and s3_dir_to_write_to, or "
            f'"destination": "s3://bucket/prefix"{folder}'
        )
    elif config.destination.count("/") < 3 or config.destination == "file:///":
        whole = "bucket" if config.destination.startswith("s3") else "disk"
        yield f"destination: found {show(config.destination)}, a whole {whole}; give a folder in it"
    slices = f"{config.source}/{config.s3_prefix}".rstrip("/")
    if config.source and config.destination and f"{slices}/".startswith(f"{config.destination}/"):
        yield (
            f"destination: the slices ({slices}) are in {config.destination}, where the volume "
            "would mix with them; give a folder for the volume alone"
        )


def _list_conflicts(config: Config) -> Iterator[str]:
    place = config.slice_list
    if place and not (place.lines or place.path or place.url):
        yield (
            f"sorted_filename: found {show(config.sorted_filename)}, a local path that can't "
            "be read here; give an s3:// URL, a key in the download bucket, or the lines "
            "themselves"
        )
    if config.filter and place:
        yield "filter: applies only without a list, but sorted_filename is given; keep one"


def _encoding_conflicts(config: Config) -> Iterator[str]:
    labels, chunk = config.layer_type == "segmentation", config.chunk_size
    encoding = show(config.encoding)
    if labels and config.encoding in ("jpeg", "png"):
        yield (
            f'encoding: {encoding} is for images, but layer_type is "segmentation"; give "raw", '
            '"compressed_segmentation" or "compresso"'
        )
    if not labels and config.encoding in ("compressed_segmentation", "compresso"):
        yield (
            f'encoding: {encoding} is for labels; give "layer_type": "segmentation" with it, or '
            "encoding raw"
        )
    if config.encoding == "jpeg" and chunk != "auto" and chunk[1] * chunk[2] > 65_535:
        yield (
            f"chunk_size: found {show(list(chunk))}, but a JPEG image has at most 65535 rows "
            "and a chunk needs y times z rows; give a smaller one, or encoding raw"
        )
    if config.compression == "br" and config.sharding is True:
        yield 'compression: shards can\'t hold "br"; give "gzip" or "none"'
    yield from _format_conflicts(config)


def _format_conflicts(config: Config) -> Iterator[str]:
    precomputed, zarr = ("precomputed" in config.formats, "ome-zarr" in config.formats)
    formats = show(list(config.formats) if len(config.formats) > 1 else config.formats[0])
    if config.compression == "zstd" and precomputed:
        yield (
            f'compression: "zstd" is for format "ome-zarr", but format is {formats}; give "gzip" '
            'or "none"'
        )
    if config.compression == "br" and zarr:
        yield 'compression: OME-Zarr has no "br"; give "gzip", "zstd" or "none"'
    if not precomputed and config.encoding != "raw":
        yield (
            f"encoding: {show(config.encoding)} is for precomputed volumes, but format is "
            f'{formats}; remove it, or give "format": ["precomputed", "ome-zarr"]'
        )
    if not precomputed and config.segment_names:
        yield (
            f"segment_names: are part of precomputed volumes, but format is {formats}; remove "
            'them, or give "format": ["precomputed", "ome-zarr"]'
        )
    if len(set(config.formats)) < len(config.formats):
        yield f"format: {formats} names one twice; name it once"
    if precomputed and zarr and "/" not in config.destination.partition("://")[2].strip("/"):
        yield (
            f"format: {formats} needs a destination with a name, to which .ome.zarr can be added, "
            f"not {config.destination}, a whole bucket; give a folder in it"
        )


def _label_conflicts(config: Config) -> Iterator[str]:
    if config.layer_type == "image":
        names = {
            "dtype: uint64": config.dtype == "uint64",
            "sparse_labels:": config.sparse_labels,
            "segment_names:": config.segment_names,
            f"channels: {config.channel_selection}": config.channels in ("rgb24", "bgr24"),
        }
        for name in (name for name, given in names.items() if given):
            yield f'{name} is for labels, but layer_type is "image"; remove it'
        if config.contrast and config.dtype not in ("auto", "uint8", "uint16"):
            yield f'dtype: contrast makes "uint8" or "uint16", not {config.dtype}; give one of them'
        return
    if config.dtype == "float32":
        yield 'dtype: float32 is for images, but layer_type is "segmentation"; give an integer type'
    if config.contrast:
        yield (
            'contrast: is for images, but layer_type is "segmentation", whose labels must not '
            "change; remove it"
        )


def _missing_conflicts(config: Config) -> Iterator[str]:
    if config.missing == "interpolate" and config.layer_type == "segmentation":
        yield (
            'missing: "interpolate" would invent labels, and layer_type is "segmentation"; give '
            '"nearest", "fill", "hole" or "error"'
        )
    if config.missing == "hole" and config.fill_value != 0:
        yield (
            f"fill_value: found {show(config.fill_value)}, but viewers show 0 where a chunk is "
            'left out, and missing is "hole"; give 0, or missing "fill"'
        )
    if config.missing == "error" and config.damaged == "missing":
        yield (
            'damaged: "missing" is for what missing says of missing slices, which is "error"; give '
            'missing "fill", "nearest", "interpolate" or "hole"'
        )
    if config.missing in ("nearest", "interpolate") and not config.missing_in_means:
        yield (
            "missing_in_means: false is for slices filled with fill_value, but missing is "
            f"{show(config.missing)}; remove it"
        )


def cloud_conflicts(config: Config) -> Iterator[str]:
    """Yield one problem for each local file or key that the config names."""
    if config.s3_creds_file:
        yield (
            f"s3_creds_file: found {show(config.s3_creds_file)}, but keys don't belong in an "
            "execution; remove the field: the functions' IAM roles give access to the buckets "
            "named at deployment"
        )
    for name, url, field in (
        ("source", config.source, "s3_bucket_name_for_download"),
        ("destination", config.destination, "s3_bucket_name_for_upload"),
    ):
        if not url.startswith("s3://"):
            yield f'{name}: {url} is a local folder; give {field}, or "{name}": "s3://bucket/prefix"'
    place = config.slice_list
    if place and not place.lines and not place.url:
        yield (
            f"sorted_filename: {place} is a local path; give an s3:// URL, a key in the "
            "download bucket, or the lines themselves"
        )
