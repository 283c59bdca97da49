"""The fields of a config, with their kinds, defaults and meaning.

The descriptions finish the sentence "give …"; the README's table and the JSON schema show them.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, AllowInfNan, BaseModel, ConfigDict, Field, Strict

from zblocks.config.values import (
    Bucket,
    Canvas,
    Contrast,
    Edge,
    Filter,
    Listed,
    LocalPath,
    Nanometres,
    Prefix,
    Region,
    Url,
    Voxel,
    directory,
    extension,
    list_place,
    printable,
    role,
)


class Fields(BaseModel):
    """A job as it is written down."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=False)

    schema_url: str | None = Field(
        None, alias="$schema", description="the address of this schema, for editors; not used"
    )
    s3_creds_file: LocalPath | None = Field(
        None,
        description="the path of a JSON file with access_key, secret_key and region; "
        "one machine only",
    )
    s3_bucket_name_for_download: Bucket | None = Field(
        None, description="the name of the bucket that holds the slices"
    )
    s3_prefix: Prefix = Field(
        "", description='the beginning of every slice\'s key, such as "stacks/brain_7/"'
    )
    s3_parts: Annotated[str, Field(max_length=1024), AfterValidator(printable)] = Field(
        "", description='what stands between name and extension in a key, such as "_gray"'
    )
    ext: Annotated[str, Field(max_length=100), AfterValidator(extension)] | None = Field(
        None,
        description='the end of every slice\'s key with its dot, such as ".jpg"; left out, '
        '".tif" for listed names, and any image when there is no list',
    )
    sorted_filename: (
        Annotated[str, Field(max_length=4096), AfterValidator(list_place)]
        | Annotated[
            tuple[Listed, ...],
            Strict(False),
            Field(min_length=1, max_length=10**6, fail_fast=True),
        ]
        | None
    ) = Field(
        None,
        description='the ordered list with a line "<name> <index>" for each slice, or CSV or TSV '
        "with a header, or JSON, any of them gzipped or not: a local path, an s3:// url, a key "
        "in the download bucket, or a list of the lines themselves or of [name, index]; left out, "
        "all slices under s3_prefix in natural order",
    )
    filter: Filter | None = Field(
        None,
        description='{"glob": "*_gray.tif"} or {"regex": "s(?P<z>[0-9]+)_.*"} to take only files '
        "whose whole name matches when there is no list; a group z gives the slice's number",
    )
    folder_to_write_to: LocalPath | None = Field(
        None, description='the folder that "zblocks download" fills'
    )
    folder_to_convert_from: LocalPath | None = Field(
        None, description="a local folder of slices, the source when no bucket is given"
    )
    folder_to_convert_to: LocalPath | None = Field(
        None, description="a local folder for the volume, the destination when no bucket is given"
    )
    s3_bucket_name_for_upload: Bucket | None = Field(
        None, description="the name of the bucket that the volume goes to"
    )
    s3_dir_to_write_to: Annotated[str, Field(max_length=1024), AfterValidator(directory)] | None = (
        Field(None, description='the folder of the volume in that bucket, such as "volumes/brain"')
    )
    voxel_resolution: Annotated[tuple[Nanometres, Nanometres, Nanometres], Strict(False)] = Field(
        description="the size of a voxel along x, y and z in nm, three numbers above 0 and "
        "up to 1e9, such as [3680, 3680, 20000]"
    )
    voxel_offset: Annotated[tuple[Voxel, Voxel, Voxel], Strict(False)] = Field(
        (0, 0, 0),
        description="the place of the first voxel along x, y and z, three whole numbers of voxels "
        "within ±2147483647, such as [0, 0, 0]",
    )
    overwrite: bool = Field(
        False,
        description="true to replace a volume that is already there, or false to resume the same "
        "one and refuse a different one",
    )
    given_source: Url | None = Field(
        None,
        alias="source",
        description='"s3://bucket/prefix" or "file:///folder" of the slices, instead of '
        "s3_bucket_name_for_download; keys are then relative to it",
    )
    given_destination: Url | None = Field(
        None,
        alias="destination",
        description='"s3://bucket/prefix" or "file:///folder" for the volume, instead of '
        "s3_bucket_name_for_upload and s3_dir_to_write_to",
    )
    layer_type: Literal["image", "segmentation"] = Field(
        "image",
        description='"image", or "segmentation" for labels: coarser scales then take the commonest '
        "label and never a mean",
    )
    encoding: Literal["raw", "jpeg", "png", "compressed_segmentation", "compresso"] = Field(
        "raw",
        description='"raw" (exact), "jpeg" (smaller, loses a little; 8 bit only), "png" (exact; 8 '
        'and 16 bit), or for labels "compressed_segmentation" or "compresso"',
    )
    dtype: Literal["auto", "uint8", "uint16", "uint32", "uint64", "float32"] = Field(
        "auto",
        description='"auto" (that of the slices; uint32 at least for compressed_segmentation); or '
        "a wider type, which keeps every value: up to uint64 for labels, up to uint32 or float32 "
        "for images; or, together with contrast, uint8 or uint16",
    )
    contrast: Contrast | None = Field(
        None,
        description='{"percentiles": [0.5, 99.5]}, measured once over the whole stack, or '
        '{"range": [100, 4000]}: the values that become 0 and the most that dtype holds, those '
        "between in proportion; left out, values pass as they are",
    )
    sparse_labels: bool = Field(
        False,
        description="true to let label 0 give way to any other in coarser scales, or false to "
        "count it like the others",
    )
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] = Field(
        90, description="a whole number from 1 to 100, for encoding jpeg"
    )
    compression: Literal["gzip", "br", "none"] = Field(
        "gzip",
        description='"gzip", "br" (a little smaller, slower; never in shards) or "none", for '
        "chunks that are no JPEG or PNG",
    )
    sharding: Literal["auto"] | bool = Field(
        "auto",
        description='"auto" (shards when there would be more than 20000 chunks), true or false',
    )
    chunk_size: Literal["auto"] | Annotated[tuple[Edge, Edge, Edge], Strict(False)] = Field(
        "auto",
        description='"auto", or the voxels of a chunk along x, y and z, three whole numbers from '
        "1 to 2048, such as [64, 64, 64]; coarser scales may have shallower ones",
    )
    scales: Literal["auto"] | Annotated[int, Field(ge=1, le=32)] = Field(
        "auto", description='"auto" (down to a scale of one chunk), or how many, from 1 to 32'
    )
    page: Literal["all"] | Annotated[int, Field(ge=0, lt=100_000)] | None = Field(
        None,
        description='which page of every file is its slice, a number from 0, or "all": every page '
        "of every file is a slice, files in their order, z counted on from one to the next; left "
        "out, files of several pages are refused",
    )
    channels: (
        Literal["auto", "grey", "all"]
        | Annotated[
            tuple[Annotated[int, Field(ge=0, lt=64)], ...],
            Strict(False),
            Field(min_length=1, max_length=64),
        ]
    ) = Field(
        "auto",
        description='"auto" (as they are, without alpha; CMYK becomes RGB), "grey", "all" (alpha '
        "and inks, too), or numbers of channels such as [2, 1, 0], counted from 0",
    )
    canvas: Canvas | None = Field(
        None,
        description='{"size": "max" or [width, height], "align": "center" or "top-left", "fill": '
        "255} to pad or crop slices of different sizes; left out, they are refused",
    )
    region: Region | None = Field(
        None,
        description='{"x": [x0, x1], "y": [y0, y1], "z": [z0, z1]}, or some of these: the part of '
        "the stack that is wanted, from pixel or slice x0 up to and without x1, counted from 0 at "
        "the left, at the top and at the slice with the smallest index; of the canvas where there "
        "is one",
    )
    every: Annotated[int, Field(ge=1, le=10**6)] = Field(
        1,
        description="n to take every n-th slice of the region, beginning with its first; a voxel "
        "is then n times as deep as voxel_resolution says",
    )
    reverse_z: bool = Field(
        False, description="true to put the last slice first, after region and every"
    )
    turn: Literal[0, 90, 180, 270] = Field(
        0,
        description="0, 90, 180 or 270, the degrees by which every slice is turned clockwise after "
        "region has cropped it; voxel_resolution is of the slices as they lie, and chunk_size of "
        "the volume",
    )
    flip: Literal["x", "y", "xy"] | None = Field(
        None,
        description='"x" to swap left and right, "y" to swap top and bottom, or "xy" for both, '
        "after turn",
    )
    missing: Literal["fill", "error", "nearest", "interpolate", "hole"] = Field(
        "fill",
        description='"fill" to put fill_value where a slice is missing, "nearest" for the nearest '
        'slice, "interpolate" for a mixture of the next below and above (images only), "hole" to '
        'leave out the chunks that hold missing slices only, or "error" to refuse',
    )
    missing_in_means: bool = Field(
        True,
        description="false to keep slices that hold fill_value out of the means of coarser scales, "
        'or true to count them; those of a "hole" never count',
    )
    fill_value: (
        Annotated[int, Field(ge=-(2**63), le=2**64 - 1)]
        | Annotated[float, Field(ge=-3e38, le=3e38), AllowInfNan(False)]
    ) = Field(0, description="the number that fills missing slices, such as 0")
    max_concurrency: Annotated[int, Field(ge=1, le=10_000)] = Field(
        200, description="how many blocks are converted at the same time, from 1 to 10000"
    )

    segment_names: (
        Annotated[str, Field(max_length=4096), AfterValidator(list_place)]
        | Annotated[dict[str, str], Field(min_length=1, max_length=10**6)]
        | None
    ) = Field(
        None,
        description="names of labels, which the viewer lists: the place of a table with columns id "
        'and name (a path, a key or an url), or an object such as {"7": "thalamus"}',
    )
    source_role: Annotated[str, Field(max_length=2048), AfterValidator(role)] = Field(
        "",
        description="the ARN of an IAM role that may read the slices, in another account for "
        'instance, such as "arn:aws:iam::111122223333:role/slices"',
    )
    allow_partial: bool = Field(
        False,
        description="true to publish what could be made when some blocks fail, with those declared "
        "as holes, or false to publish nothing then",
    )
    max_cost_usd: Annotated[float, Field(gt=0, le=1e9), AllowInfNan(False)] | None = Field(
        None,
        description="the most that a run may be predicted to cost, in dollars and before free "
        "tiers, such as 25; above it nothing is started. On one machine only requests to buckets "
        "cost",
    )
