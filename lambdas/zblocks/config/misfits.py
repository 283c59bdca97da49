"""What is wrong between fields that are right by themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from zblocks.config.messages import describe, show

if TYPE_CHECKING:
    from zblocks.config.config import Config


def misfits(config: Config) -> Iterator[str]:
    """Tell what is wrong between fields that are right by themselves."""
    yield from _source_misfits(config)
    yield from _destination_misfits(config)
    slices = f"{config.source}/{config.s3_prefix}".rstrip("/")
    if config.source and config.destination and f"{slices}/".startswith(f"{config.destination}/"):
        yield (
            f"destination: the slices ({slices}) lie in {config.destination}, where a volume "
            "would mix with them; give a folder of its own"
        )
    place = config.slice_list
    if place and not (place.lines or place.path or place.url):
        yield (
            f"sorted_filename: found {show(config.sorted_filename)}, a local path that can't "
            "be read here; give an s3:// url, a key in the download bucket, or the lines "
            "themselves"
        )
    if config.filter and place:
        yield "filter: is for slices without a list, and sorted_filename is given; keep one"
    chunk = config.chunk_size
    yield from _encoding_misfits(config)
    yield from _label_misfits(config)
    yield from _missing_misfits(config)
    if config.encoding == "jpeg" and chunk != "auto" and chunk[1] * chunk[2] > 65_535:
        yield (
            f"chunk_size: found {show(list(chunk))}, but a JPEG image has at most 65535 rows "
            "and a chunk needs y times z; give a smaller one, or encoding raw"
        )


def _encoding_misfits(config: Config) -> Iterator[str]:
    labels = config.layer_type == "segmentation"
    if labels and config.encoding in ("jpeg", "png"):
        yield (
            f"encoding: {show(config.encoding)} is for images, and layer_type is "
            '"segmentation"; give "raw", "compressed_segmentation" or "compresso"'
        )
    if not labels and config.encoding in ("compressed_segmentation", "compresso"):
        yield (
            f'encoding: {show(config.encoding)} is for labels; give "layer_type": '
            '"segmentation" with it, or encoding raw'
        )
    if config.compression == "br" and config.sharding is True:
        yield 'compression: shards can\'t hold "br"; give "gzip" or "none"'
    if not labels and (config.dtype == "uint64" or config.sparse_labels):
        name = "sparse_labels:" if config.sparse_labels else "dtype: uint64"
        yield f'{name} is for labels, and layer_type is "image"; remove it'
    if labels and config.dtype == "float32":
        yield 'dtype: float32 is for images, and layer_type is "segmentation"; give a whole type'
    if labels and config.contrast:
        yield (
            'contrast: is for images, and layer_type is "segmentation", whose labels must stay as '
            "they are; remove it"
        )
    elif config.contrast and config.dtype not in ("auto", "uint8", "uint16"):
        yield f'dtype: contrast makes "uint8" or "uint16", not {config.dtype}; give one of these'


def _label_misfits(config: Config) -> Iterator[str]:
    if config.layer_type == "image" and config.segment_names:
        yield 'segment_names: is for labels, and layer_type is "image"; remove it'


def _missing_misfits(config: Config) -> Iterator[str]:
    if config.missing == "interpolate" and config.layer_type == "segmentation":
        yield (
            'missing: "interpolate" would make up labels, and layer_type is "segmentation"; give '
            '"nearest", "fill", "hole" or "error"'
        )
    if config.missing == "hole" and config.fill_value != 0:
        yield (
            f"fill_value: found {show(config.fill_value)}, but readers show 0 where a chunk is "
            'left out, and missing is "hole"; give 0, or missing "fill"'
        )
    if config.missing in ("nearest", "interpolate") and not config.missing_in_means:
        yield (
            "missing_in_means: false is for slices that hold fill_value, and missing is "
            f"{show(config.missing)}; remove it"
        )


def _source_misfits(config: Config) -> Iterator[str]:
    if config.given_source and config.s3_bucket_name_for_download:
        yield "source: given together with s3_bucket_name_for_download; keep one way"
    if not config.source:
        folder = ", or folder_to_convert_from" if config.base else ""
        yield (
            "s3_bucket_name_for_download: missing, so there is no source; give the name of "
            f'the bucket that holds the slices, or "source": "s3://bucket/prefix"{folder}'
        )


def _destination_misfits(config: Config) -> Iterator[str]:
    names = ("s3_bucket_name_for_upload", "s3_dir_to_write_to")
    both = " and ".join(name for name in names if getattr(config, name))
    if config.given_destination and both:
        yield f"destination: given together with {both}; keep one way"
    if config.s3_bucket_name_for_upload and not config.s3_dir_to_write_to:
        do = describe("s3_dir_to_write_to")
        yield f"s3_dir_to_write_to: missing; give {do}"
    elif not config.destination:
        folder = ", or folder_to_convert_to" if config.base else ""
        yield (
            "s3_bucket_name_for_upload: missing, so there is no destination; give the name of "
            "the bucket that the volume goes to and s3_dir_to_write_to, or "
            f'"destination": "s3://bucket/prefix"{folder}'
        )
    elif config.destination.count("/") < 3 or config.destination == "file:///":
        yield (
            f"destination: found {show(config.destination)}, a whole "
            f"{'bucket' if config.destination.startswith('s3') else 'disk'}; give a folder in it"
        )
