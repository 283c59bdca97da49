"""The fields of a config: types, defaults and descriptions.

The descriptions complete the sentence "give …" in errors; the table of fields and the JSON schema
show them, too.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AllowInfNan, BaseModel, ConfigDict, Field, Strict

from zblocks.config.values import (
    Bucket,
    Canvas,
    ChannelNumbers,
    Contrast,
    Edge,
    Filter,
    Listed,
    ListPlace,
    LocalPath,
    Nanometres,
    OutputFormat,
    OutputFormats,
    Prefix,
    Region,
    Url,
    Voxel,
    directory,
    extension,
    printable,
    role,
)

COMMENT = "//"  # fields whose names begin so are comments, which JSON lacks


class Fields(BaseModel):
    """A config as written."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=False)

    schema_url: str | None = Field(
        None, alias="$schema", description="the URL of this schema, for editors; otherwise not used"
    )
    s3_creds_file: LocalPath | None = Field(
        None,
        description="the path of a JSON file with access_key, secret_key and region, for local "
        "runs only",
    )
    s3_bucket_name_for_download: Bucket | None = Field(
        None, description="the name of the bucket with the slices"
    )
    s3_prefix: Prefix = Field(
        "", description='the beginning of every slice\'s key, such as "stacks/brain_7/"'
    )
    s3_parts: Annotated[str, Field(max_length=1024), AfterValidator(printable)] = Field(
        "", description='the part of every key between name and extension, such as "_gray"'
    )
    ext: Annotated[str, Field(max_length=100), AfterValidator(extension)] | None = Field(
        None,
        description='the end of every slice\'s key, with its dot, such as ".jpg"; by default '
        '".tif" for listed names, and any image type without a list',
    )
    sorted_filename: (
        ListPlace
        | Annotated[
            tuple[Listed, ...], Strict(False), Field(min_length=1, max_length=10**6, fail_fast=True)
        ]
        | None
    ) = Field(
        None,
        description="the ordered list of slices: a local path, an s3:// URL, a key in the "
        "download bucket, or a list of its lines or of [name, index]; a file has one "
        'line "<name> <index>" per slice, or is CSV or TSV with a header, or JSON, '
        "gzipped or not; by default all slices under s3_prefix, in natural order",
    )
    filter: Filter | None = Field(
        None,
        description='{"glob": "*_gray.tif"} or {"regex": "s(?P<z>[0-9]+)_.*"} to select slices by '
        "their whole file name if there is no list; the group z of a regex is the "
        "slice's number",
    )
    folder_to_write_to: LocalPath | None = Field(
        None, description='the local folder that "zblocks download" fills'
    )
    folder_to_convert_from: LocalPath | None = Field(
        None, description="a local folder with the slices, the source if no bucket is given"
    )
    folder_to_convert_to: LocalPath | None = Field(
        None, description="a local folder for the volume, the destination if no bucket is given"
    )
    s3_bucket_name_for_upload: Bucket | None = Field(
        None, description="the name of the bucket for the volume"
    )
    s3_dir_to_write_to: Annotated[str, Field(max_length=1024), AfterValidator(directory)] | None = (
        Field(None, description='the folder of the volume in that bucket, such as "volumes/brain"')
    )
    voxel_resolution: Annotated[tuple[Nanometres, Nanometres, Nanometres], Strict(False)] = Field(
        description="the size of a voxel along x, y and z in nm, three numbers above 0 and up to "
        "1e9, such as [3680, 3680, 20000]"
    )
    voxel_offset: Annotated[tuple[Voxel, Voxel, Voxel], Strict(False)] = Field(
        (0, 0, 0),
        description="the position of the first voxel along x, y and z, three whole numbers of "
        "voxels within ±2147483647, such as [0, 0, 0]",
    )
    overwrite: bool = Field(
        False,
        description="true to replace an existing volume (if only slices were replaced or have "
        "arrived, the blocks that read them), or false to resume the same volume and refuse to "
        "replace a different one",
    )
    given_source: Url | None = Field(
        None,
        alias="source",
        description='"s3://bucket/prefix" or "file:///folder" of the slices, instead of '
        "s3_bucket_name_for_download; keys are relative to it",
    )
    given_destination: Url | None = Field(
        None,
        alias="destination",
        description='"s3://bucket/prefix" or "file:///folder" for the volume, instead of '
        "s3_bucket_name_for_upload and s3_dir_to_write_to",
    )
    layer_type: Literal["image", "segmentation"] = Field(
        "image",
        description='"image", or "segmentation" for labels: coarser scales then take the most '
        "common label instead of the mean",
    )
    given_format: OutputFormat | OutputFormats = Field(
        "precomputed",
        alias="format",
        description='"precomputed", "ome-zarr", or ["precomputed", "ome-zarr"]: then the OME-Zarr '
        "image is at the destination with .ome.zarr after its name",
    )
    encoding: Literal["raw", "jpeg", "png", "compressed_segmentation", "compresso"] = Field(
        "raw",
        description='"raw" (lossless), "jpeg" (smaller, lossy; 8-bit only), "png" (lossless; '
        '8-bit, or 16-bit with one channel), or for labels "compressed_segmentation" '
        'or "compresso"',
    )
    dtype: Literal["auto", "uint8", "uint16", "uint32", "uint64", "float32"] = Field(
        "auto",
        description='"auto" (the type of the slices; at least uint32 for '
        "compressed_segmentation); or a wider type, which keeps every value: up to "
        "uint64 for labels, which must be given if they are stored as floats, up to uint32 or "
        "float32 for images; or, with contrast, uint8 or uint16",
    )
    contrast: Contrast | None = Field(
        None,
        description='{"percentiles": [0.5, 99.5]}, measured once over the whole stack, or '
        '{"range": [100, 4000]}: the values that become 0 and the maximum of dtype, '
        "with linear scaling between them, and 0 for NaN; by default values do not change",
    )
    sparse_labels: bool = Field(
        False,
        description="true to let every other label win over label 0 in coarser scales, or false "
        "to count 0 like the others",
    )
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] = Field(
        90, description="a whole number from 1 to 100, for encoding jpeg"
    )
    compression: Literal["gzip", "br", "zstd", "none"] = Field(
        "gzip",
        description='"gzip", "br" (precomputed only; slightly smaller, slower; not in shards), '
        '"zstd" (ome-zarr only) or "none", for chunks other than JPEG and PNG',
    )
    sharding: Literal["auto"] | bool = Field(
        "auto",
        description='"auto" (shards if there would be more than 20000 chunks, and in ome-zarr), '
        "true or false",
    )
    chunk_size: Literal["auto"] | Annotated[tuple[Edge, Edge, Edge], Strict(False)] = Field(
        "auto",
        description='"auto", or the voxels of a chunk along x, y and z, three whole numbers from '
        "1 to 2048, such as [64, 64, 64]; chunks of coarser scales may be shallower",
    )
    scales: Literal["auto"] | Annotated[int, Field(ge=1, le=32)] = Field(
        "auto",
        description='"auto" (until a scale fits into one chunk), or the number of scales, from 1 '
        "to 32",
    )
    page: Literal["all"] | Annotated[int, Field(ge=0, lt=100_000)] | None = Field(
        None,
        description='the page of every file that is its slice, a number from 0, or "all" if every '
        "page of every file is a slice, with z counted on from file to file; by "
        "default files with several pages are refused, also if all planes follow one directory",
    )
    level: Annotated[int, Field(ge=0, le=32)] = Field(
        0,
        description="n to read the n-th reduced resolution that every slice holds (pyramidal TIFF, "
        "OME-TIFF, SVS, JPEG 2000), for a first look at a part of the cost, or 0 for the full "
        "resolution, which voxel_resolution, voxel_offset, region and canvas describe in any case",
    )
    channels: Literal["auto", "grey", "all", "rgb24", "bgr24"] | ChannelNumbers = Field(
        "auto",
        description='"auto" (as stored, without alpha; CMYK becomes RGB), "grey", "all" (with '
        "alpha and inks), or channel numbers from 0, such as [2, 1, 0]; for labels stored as RGB, "
        '"rgb24" makes one number of 24 bits with red as its highest byte, "bgr24" with blue',
    )
    canvas: Canvas | None = Field(
        None,
        description='{"size": "max" or [width, height], "align": "center" or "top-left", "fill": '
        "255} to pad or crop slices of different sizes; by default they are refused; what pads "
        "them without a fill is 0 for labels, and white for images: the highest value of the "
        "slices' type, 1 for floats",
    )
    region: Region | None = Field(
        None,
        description='{"x": [x0, x1], "y": [y0, y1], "z": [z0, z1]}, or some of these, to convert '
        "only a part of the stack: from x0 up to but not including x1; x and y are "
        "pixels from the top left of the slice (or of the canvas), z counts slices "
        "from the smallest index",
    )
    every: Annotated[int, Field(ge=1, le=10**6)] = Field(
        1,
        description="n to take every n-th slice of the region, starting with its first; voxels "
        "are then n times as deep as voxel_resolution says",
    )
    reverse_z: bool = Field(
        False, description="true to reverse the order of the slices, after region and every"
    )
    turn: Literal[0, 90, 180, 270] = Field(
        0,
        description="0, 90, 180 or 270, the degrees by which to turn every slice clockwise, after "
        "region; voxel_resolution describes the slices before, chunk_size the volume "
        "after the turn",
    )
    flip: Literal["x", "y", "xy"] | None = Field(
        None,
        description='"x" to swap left and right, "y" to swap top and bottom, or "xy" for both, '
        "after turn",
    )
    missing: Literal["fill", "error", "nearest", "interpolate", "hole"] = Field(
        "fill",
        description='"fill" to put fill_value where a slice is missing, "nearest" to repeat the '
        'nearest slice, "interpolate" to blend the next slices below and above '
        '(images only), "hole" to leave out chunks that contain only missing slices, '
        'or "error" to refuse',
    )
    missing_in_means: bool = Field(
        True,
        description="false to exclude slices filled with fill_value from the means of coarser "
        'scales, or true to include them; a "hole" is always excluded',
    )
    damaged: Literal["error", "missing"] = Field(
        "error",
        description='"error" if the blocks that read a damaged slice have to fail, or "missing" to '
        "treat it as a missing slice and publish the volume as PARTIAL (the default with "
        "allow_partial)",
    )
    fill_value: (
        Annotated[int, Field(ge=-(2**63), le=2**64 - 1)]
        | Annotated[float, Field(ge=-3e38, le=3e38), AllowInfNan(False)]
    ) = Field(0, description="the number that fills missing slices, such as 0")
    max_concurrency: Annotated[int, Field(ge=1, le=10_000)] = Field(
        200, description="the number of blocks to convert at the same time, from 1 to 10000"
    )

    segment_names: (
        ListPlace | Annotated[dict[str, str], Field(min_length=1, max_length=10**6)] | None
    ) = Field(
        None,
        description="the names of labels, for the viewer: a path, key or URL of a table with "
        'columns id and name, or an object such as {"7": "thalamus"}',
    )
    source_role: Annotated[str, Field(max_length=2048), AfterValidator(role)] = Field(
        "",
        description="the ARN of an IAM role that can read the slices, for example in another "
        'account, such as "arn:aws:iam::111122223333:role/slices"',
    )
    requester_pays: bool = Field(
        False,
        description="true to agree to pay for requests to buckets whose owner lets the requester "
        "pay, and for what is read from them",
    )
    allow_partial: bool = Field(
        False,
        description="true to publish the volume even if some blocks fail, with those declared as "
        "holes, or false to publish nothing in that case",
    )
    max_cost_usd: Annotated[float, Field(gt=0, le=1e9), AllowInfNan(False)] | None = Field(
        None,
        description="the highest predicted cost of a run, in dollars and before free tiers, such "
        "as 25; a run that would cost more is not started (local runs cost only requests)",
    )


def config_schema() -> dict[str, Any]:
    """Return the schema (JSON Schema 2020-12); `Config.parse` checks more."""
    schema = Fields.model_json_schema(by_alias=True)
    schema |= {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "zblocks config",
        "description": "How to convert slices to a Neuroglancer volume.",
        "patternProperties": {f"^{COMMENT}": {"description": "a comment"}},
    }
    return schema
